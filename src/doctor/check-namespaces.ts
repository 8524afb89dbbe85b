/**
 * What a plain user needs of the kernel and of the administrator: user namespaces, and ids to fill them with. Building
 * an environment needs both (mmdebstrap's mode `unshare`); the launcher confines a VMM with the first. Root needs neither.
 */
import { packageFile } from "../host/package-files.ts";
import { fault, type Finding, good } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";

/** Ids that a Debian system uses: 0 to 65535. */
const IDS_NEEDED = 65_536;
/** Where useradd begins to hand them out (login.defs(5), SUB_UID_MIN). */
const SUBORDINATE_ID_MIN = 100_000;
const SYSCTL_FILE = "/etc/sysctl.d/60-pyro.conf";

/** `installed`: an environment is there, so that a guest can run without building one. */
export async function checkNamespaces(facts: HostFacts, installed: boolean): Promise<Finding[]> {
  const required = !installed;
  if (facts.uid === 0) return [good("user_namespaces", "root needs none", { required })];
  return await Promise.all([
    checkUserNamespaces(facts, required),
    checkAppArmor(facts, required),
    checkSubordinateIds(facts, required),
  ]);
}

/** The command that lets a plain user's programs have namespaces, or null when none is known. */
export async function namespaceRemedy(facts: HostFacts): Promise<string | null> {
  const findings = await Promise.all([checkUserNamespaces(facts, false), checkAppArmor(facts, false)]);
  return findings.find(({ ok }) => !ok)?.fix ?? null;
}

async function checkUserNamespaces(facts: HostFacts, required: boolean): Promise<Finding> {
  const id = "user_namespaces";
  // The first is Debian's own switch and absent elsewhere; the second is the kernel's limit.
  if ((await sysctl(facts, "kernel.unprivileged_userns_clone")) === "0") {
    const fix = setSysctl("kernel.unprivileged_userns_clone", "1");
    return fault(id, "kernel.unprivileged_userns_clone is 0: only root may make user namespaces", {
      required,
      fix,
      automatic: required,
    });
  }
  if ((await sysctl(facts, "user.max_user_namespaces")) === "0") {
    const fix = setSysctl("user.max_user_namespaces", "15000");
    return fault(id, "user.max_user_namespaces is 0: nobody may make user namespaces", {
      required,
      fix,
      automatic: required,
    });
  }
  return good(id, "allowed", { required });
}

/**
 * Ubuntu from 23.10 on: a program without an AppArmor profile that says `userns,` gets a namespace without any
 * capability in it. The profile for our launcher is the remedy; switching the rule off for every program is not.
 */
async function checkAppArmor(facts: HostFacts, required: boolean): Promise<Finding> {
  const id = "apparmor_userns";
  if ((await sysctl(facts, "kernel.apparmor_restrict_unprivileged_userns")) !== "1") {
    return good(id, "AppArmor does not restrict user namespaces", { required: false });
  }
  const [forLauncher, forBuilds] = await Promise.all(
    ["pyro-launch", "mmdebstrap"].map(async (name) => await facts.exists(`etc/apparmor.d/${name}`)),
  );
  if (forLauncher === true && forBuilds === true)
    return good(id, "restricted by AppArmor, with profiles for pyro-launch and mmdebstrap", { required });
  const missing = [
    ...(forLauncher === true ? [] : [profileCommand("pyro-launch", packageFile("launcher", facts.env).path)]),
    // Ubuntu's own package apparmor has this one since 24.04.
    ...(forBuilds === true ? [] : [profileCommand("mmdebstrap", "/usr/bin/mmdebstrap")]),
  ];
  // Without the launcher's profile a guest still runs; without mmdebstrap's no environment can be built.
  const blocking = required && forBuilds !== true;
  const detail =
    "AppArmor lets only programs with a profile use user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)";
  return fault(id, detail, { required: blocking, fix: missing.join(" && "), automatic: blocking });
}

function profileCommand(name: string, program: string): string {
  const lines = [
    "abi <abi/4.0>,",
    "include <tunables/global>",
    `profile ${name} "${program}" flags=(unconfined) { userns, }`,
  ];
  const words = lines.map((line) => `'${line}'`).join(" ");
  return `printf '%s\\n' ${words} | sudo tee /etc/apparmor.d/${name} && sudo apparmor_parser --replace /etc/apparmor.d/${name}`;
}

async function checkSubordinateIds(facts: HostFacts, required: boolean): Promise<Finding> {
  const id = "subordinate_ids";
  const tables = await Promise.all(
    ["subuid", "subgid"].map(async (name) => ranges((await facts.readText(`etc/${name}`)) ?? "")),
  );
  const owners = [facts.userName, String(facts.uid)];
  const enough = tables.every((table) =>
    table.some(({ owner, count }) => owners.includes(owner) && count >= IDS_NEEDED),
  );
  if (enough) return good(id, "/etc/subuid and /etc/subgid have ranges for you", { required });
  // Behind everybody else's range, in both tables.
  const start = Math.max(SUBORDINATE_ID_MIN, ...tables.flat().map((range) => range.start + range.count));
  const range = `${start}-${start + IDS_NEEDED - 1}`;
  const fix = `sudo usermod --add-subuids ${range} --add-subgids ${range} ${facts.userName ?? "$USER"}`;
  const detail = `/etc/subuid and /etc/subgid have no ${IDS_NEEDED} ids for you: a plain user needs them to build an environment`;
  return fault(id, detail, { required, fix, automatic: required });
}

/** Lines of subuid(5): owner:start:count. */
function ranges(text: string): { owner: string; start: number; count: number }[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(":"))
    .filter((parts) => parts.length === 3)
    .map(([owner = "", start, count]) => ({ owner, start: Number(start), count: Number(count) }))
    .filter(({ start, count }) => Number.isSafeInteger(start) && Number.isSafeInteger(count));
}

/** Undefined when this kernel has no such setting. */
async function sysctl(facts: HostFacts, name: string): Promise<string | undefined> {
  return (await facts.readText(sysctlPath(name)))?.trim();
}

const sysctlPath = (name: string): string => `proc/sys/${name.replaceAll(".", "/")}`;

/** Sets it now and after the next boot. */
function setSysctl(name: string, value: string): string {
  return `echo '${name} = ${value}' | sudo tee -a ${SYSCTL_FILE} && sudo sysctl --load ${SYSCTL_FILE}`;
}
