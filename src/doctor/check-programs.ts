/** The programs and files that the host's packages bring. */
import { PyroError } from "../contract/error.ts";
import { runProgram } from "../host/process.ts";
import { isAtLeast } from "../vmm/program.ts";
import { fault, type Finding, good } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";
import { type PackageManager, type Requirement, REQUIREMENTS } from "./requirements.ts";

/** mmdebstrap takes 0.15 s, in a nested machine many times that; a host that swaps needs longer. */
const VERSION_DEADLINE_MS = 10_000;

export interface ProgramOptions {
  readonly manager: PackageManager | undefined;
  /** Whether an environment is installed: then a guest can run without what only builds environments. */
  readonly installed: boolean;
}

const PURPOSES = ["run", "pull", "workspace"];

/** One finding for each requirement of these but QEMU, which the machine's checks look at. */
export async function checkPrograms(facts: HostFacts, options: ProgramOptions): Promise<Finding[]> {
  const wanted = REQUIREMENTS.filter(
    ({ id, neededFor }) => id !== "qemu" && neededFor.some((each) => PURPOSES.includes(each)),
  );
  const applicable = wanted.filter(({ neededBy }) => neededBy === "everyone" || facts.uid !== 0);
  return await Promise.all(
    applicable.map(async (each) => {
      const required = each.neededFor.includes("run") || (each.neededFor.includes("pull") && !options.installed);
      const { found, problem } = await look(facts, each);
      if (problem === undefined) return good(each.id, found, { required });
      return fault(each.id, `${problem}: it ${each.why}`, { required, packages: packagesOf(each, options.manager) });
    }),
  );
}

/** The names of the packages for this host; none when its package manager is unknown. */
export function packagesOf({ packages }: Requirement, manager: PackageManager | undefined): readonly string[] {
  return manager === undefined ? [] : packages[manager.name];
}

async function look(facts: HostFacts, wanted: Requirement): Promise<{ found: string; problem?: string }> {
  const { file, command, minimumVersion, versionFlag = "--version" } = wanted;
  if (file !== undefined)
    return (await facts.exists(file)) ? { found: file } : { found: "", problem: `${file} is not there` };
  if (command === undefined) return { found: "nothing to look for" };
  const path = await facts.find(command);
  if (path === undefined) return { found: "", problem: `${command} is not installed` };
  if (minimumVersion === undefined) return { found: path };
  const version = await versionOf(path, versionFlag);
  if (version === undefined) return { found: "", problem: `${path} does not say its version` };
  if (isAtLeast(version, minimumVersion)) return { found: `${path} ${version}` };
  return { found: "", problem: `${path} is version ${version}, and ${minimumVersion} or newer is needed` };
}

/** The first dotted number in a program's own words about its version; some leave with a status that is not 0. */
async function versionOf(path: string, flag: string): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await runProgram(path, [flag], { deadlineMs: VERSION_DEADLINE_MS });
    return /\d+(?:\.\d+)+/.exec(`${stdout}\n${stderr}`)?.[0];
  } catch (failure) {
    if (PyroError.is(failure)) return undefined;
    throw failure;
  }
}
