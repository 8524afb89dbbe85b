/** Puts node_modules into the state that package-lock.json describes, and does nothing when it is in it. */
import { existsSync, readFileSync } from "node:fs";
import { runChecked } from "../command.mjs";
import { inProject } from "../project.mjs";
import { say } from "../terminal.mjs";

export async function installNodeModules() {
  if (matchesLock()) return;
  say("setup", "npm ci: the build tools and libraries of package-lock.json");
  // No package of ours needs its install script, so none gets to run.
  await runChecked("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
}

/** npm writes what it installed to node_modules/.package-lock.json as its last step; that is compared with the lock. */
function matchesLock() {
  const installedPath = inProject("node_modules", ".package-lock.json");
  if (!existsSync(installedPath)) return false;
  const wanted = readPackages(inProject("package-lock.json"));
  const installed = readPackages(installedPath);
  const same = (path) =>
    wanted[path]?.version === installed[path]?.version && wanted[path]?.integrity === installed[path]?.integrity;
  // Optional packages are those of other platforms: absent is right for most of them.
  const required = Object.keys(wanted).filter((path) => path !== "" && wanted[path].optional !== true);
  return (
    required.every((path) => path in installed && same(path)) && Object.keys(installed).every((path) => same(path))
  );
}

const readPackages = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
