/** Which Firecracker there is, and whether one should be installed. */
import { PyroError } from "../contract/error.ts";
import type { DoctorReport } from "../contract/host-operations.ts";
import type { HostPaths } from "../host/paths.ts";
import type { FirecrackerProgram } from "../vmm/firecracker/binary.ts";
import { releaseUrl } from "../vmm/firecracker/install.ts";
import { FIRECRACKER_RELEASE, releaseDirectory } from "../vmm/firecracker/release.ts";
import { fault, faultOf, type Finding, good } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";

const FIX = "pyro doctor --fix";

export interface FirecrackerFindings {
  readonly finding: Finding;
  readonly firecracker: DoctorReport["firecracker"];
  readonly fixDownload: DoctorReport["fix_download"];
}

export interface FirecrackerOptions {
  readonly found: FirecrackerProgram | PyroError;
  readonly kvmUsable: boolean;
}

/**
 * A host whose KVM does not work has no use for Firecracker and is not told to install one. What the user named, and an
 * installed one that was altered, is said on every host.
 */
export function checkFirecracker(facts: HostFacts, paths: HostPaths, options: FirecrackerOptions): FirecrackerFindings {
  const { found, kvmUsable } = options;
  const id = "firecracker";
  const required = facts.env["PYRO_MACHINE"] === id;
  if (!PyroError.is(found)) {
    const { path, version, source } = found;
    const finding = good(id, `${path} ${version}, ${sourceWords(source)}`, { required });
    return { finding, firecracker: { path, version, source }, fixDownload: null };
  }
  const named = (facts.env["PYRO_FIRECRACKER"] ?? "") !== "";
  const altered = found.code === "artifact_corrupt";
  if (!named && !altered && !required && !kvmUsable) {
    const finding = good(id, `${found.message}; not needed: KVM does not work here`, { required });
    return { finding, firecracker: null, fixDownload: null };
  }
  // What the variable names comes before anything that could be installed.
  if (named) return { finding: faultOf(id, found, { required }), firecracker: null, fixDownload: null };
  const finding = fault(id, found.message, { required, fix: FIX });
  return { finding, firecracker: null, fixDownload: downloadOf(facts, paths) };
}

function downloadOf(facts: HostFacts, paths: HostPaths): DoctorReport["fix_download"] {
  return {
    program: "firecracker",
    version: FIRECRACKER_RELEASE.version,
    url: releaseUrl(facts.env["PYRO_FIRECRACKER_MIRROR"]),
    sha256: FIRECRACKER_RELEASE.archiveSha256,
    directory: releaseDirectory(paths, FIRECRACKER_RELEASE),
  };
}

function sourceWords(source: FirecrackerProgram["source"]): string {
  if (source === "installed") return "installed by pyro, its hash is right";
  return source === "PATH" ? "found in PATH" : "named by PYRO_FIRECRACKER";
}
