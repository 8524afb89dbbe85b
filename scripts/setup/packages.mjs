/** Installs system packages, saying what and why; where it may not, the exact command is the answer. */
import { capture, commandLine, findProgram, runChecked } from "../command.mjs";
import { interactive, Refusal, say } from "../terminal.mjs";
import { packageManager, unmetRequirements } from "./requirements.mjs";

export async function installSystemPackages(purposes) {
  const unmet = unmetRequirements(purposes);
  if (unmet.length === 0) return;
  const manager = packageManager();
  for (const { requirement, reason } of unmet) {
    const names = manager === undefined ? requirement.id : requirement.packages[manager.name].join(" ");
    say("setup", `needs ${names}: ${requirement.why} (${reason})`);
  }
  if (manager === undefined) {
    throw new Refusal(
      "this distribution's package manager is not one of apt, dnf and pacman",
      `install what the lines above name, then run the same command again`,
    );
  }
  const commands = installCommands(manager, unmet.map(({ requirement }) => requirement.packages[manager.name]).flat());
  const privilege = privilegePrefix();
  if (privilege === undefined) {
    const lines = commands.map((words) => commandLine("sudo", words)).join(" && ");
    throw new Refusal("installing them needs root, and neither root nor sudo is at hand", lines);
  }
  for (const words of commands) {
    const [file, ...args] = [...privilege, ...words];
    say("setup", commandLine(file, args));
    await runChecked(file, args, { env: { DEBIAN_FRONTEND: "noninteractive" }, stdin: "inherit" });
  }
  const still = unmetRequirements(purposes);
  if (still.length > 0) throw new Refusal(`installed, and yet: ${still.map(({ reason }) => reason).join("; ")}`);
}

/**
 * The commands that install `packages`, each as its words.
 *
 * @public tested in test/contract/setup.test.ts
 */
export function installCommands(manager, packages) {
  const install = [...manager.install, ...new Set(packages)];
  return manager.refresh === null ? [install] : [manager.refresh, install];
}

/** What to put before a command so that it runs as root, or undefined when nothing does. */
function privilegePrefix() {
  if (process.getuid?.() === 0) return [];
  const sudo = findProgram("sudo");
  if (sudo === undefined) return undefined;
  if (capture(sudo, ["-n", "true"]) !== undefined) return [sudo, "-n"];
  // It wants a password: fine where somebody is there to type it.
  return interactive() ? [sudo] : undefined;
}
