/**
 * What the host must have, and what of it is not there.
 *
 * The facts are in src/doctor/requirements.json, which `pyro doctor` reads too: a package is named once.
 */
import { existsSync, readFileSync } from "node:fs";
import { capture, findProgram } from "../command.mjs";
import { inProject } from "../project.mjs";

const TABLE = JSON.parse(readFileSync(inProject("src", "doctor", "requirements.json"), "utf8"));

/** The package manager of the distribution that /etc/os-release names, with its commands; undefined when unknown. */
export function packageManager(osRelease = readFileSync("/etc/os-release", "utf8")) {
  const ids = [...osRelease.matchAll(/^(?:ID|ID_LIKE)="?([^"\n]*)"?$/gm)].flatMap((match) => match[1].split(" "));
  const entry = Object.entries(TABLE.packageManagers).find(([, each]) =>
    each.distributions.some((id) => ids.includes(id)),
  );
  return entry === undefined ? undefined : { name: entry[0], ...entry[1] };
}

/** The requirements for `purposes` ("run", "pull", "workspace", "build", "test") that this host does not meet, each with the reason. */
export function unmetRequirements(purposes, { unprivileged = process.getuid?.() !== 0 } = {}) {
  return TABLE.requirements
    .filter((each) => each.neededFor.some((purpose) => purposes.includes(purpose)))
    .filter((each) => each.neededBy === "everyone" || unprivileged)
    .map((requirement) => ({ requirement, reason: unmetReason(requirement) }))
    .filter(({ reason }) => reason !== undefined);
}

function unmetReason({ file, command, minimumVersion, versionFlag = "--version" }) {
  if (file !== undefined) return existsSync(file) ? undefined : `${file} is not there`;
  const program = findProgram(command);
  if (program === undefined) return `${command} is not installed`;
  if (minimumVersion === undefined) return undefined;
  const found = versionIn(capture(program, [versionFlag]) ?? "");
  if (found === undefined) return `${command} does not tell its version`;
  return isAtLeast(found, minimumVersion) ? undefined : `${command} ${found} is older than ${minimumVersion}`;
}

/** The first dotted number in a program's own words about its version. */
export const versionIn = (text) => /\d+(?:\.\d+)+/.exec(text)?.[0];

/** Whether dotted version `found` is `minimum` or newer. */
export function isAtLeast(found, minimum) {
  const [a, b] = [found, minimum].map((text) => text.split(".").map(Number));
  for (let index = 0; index < b.length; index += 1) {
    if ((a[index] ?? 0) !== b[index]) return (a[index] ?? 0) > b[index];
  }
  return true;
}
