/** pyro's own files, and the kernel that the user may have named. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import type { DoctorReport } from "../contract/host-operations.ts";
import { type PackageProgram, repairCommand, verifyPackageFile } from "../host/package-files.ts";
import { fault, faultOf, type Finding, good } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";

export async function checkPackage(facts: HostFacts): Promise<Finding[]> {
  return await Promise.all((["agent", "launcher"] as const).map(async (program) => await checkProgram(facts, program)));
}

async function checkProgram(facts: HostFacts, program: PackageProgram): Promise<Finding> {
  try {
    const { path, variable } = await verifyPackageFile(program, facts.env);
    return good(program, variable === null ? path : `${path} (${variable})`, { required: true });
  } catch (failure) {
    const own = facts.env[program === "agent" ? "PYRO_AGENT_PATH" : "PYRO_LAUNCHER_PATH"];
    // What the user named is the user's to put right.
    const repair = own === undefined || own === "" ? { fix: repairCommand(), automatic: true } : {};
    return faultOf(program, failure, { required: true, ...repair });
  }
}

export interface KernelFinding {
  readonly finding: Finding;
  readonly kernel: DoctorReport["kernel"];
}

/** The environment's kernel, unless PYRO_KERNEL names another: then whether that is a file that can be read. */
export async function checkKernel(facts: HostFacts): Promise<KernelFinding> {
  const id = "kernel";
  const path = facts.env["PYRO_KERNEL"];
  if (path === undefined || path === "") {
    return {
      finding: good(id, "each environment brings its own", { required: true }),
      kernel: { source: "environment", ok: true },
    };
  }
  const problem = await whyUnreadable(path);
  const finding =
    problem === undefined
      ? good(id, `${path} (PYRO_KERNEL)`, { required: true })
      : fault(id, `PYRO_KERNEL names ${path}, ${problem}; name a kernel image, or unset it`, { required: true });
  return { finding, kernel: { source: path, ok: problem === undefined } };
}

async function whyUnreadable(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isFile()) return "which is not a file";
    await access(path, constants.R_OK);
    return undefined;
  } catch (failure) {
    return `which cannot be read (${(failure as NodeJS.ErrnoException).code ?? "unknown reason"})`;
  }
}
