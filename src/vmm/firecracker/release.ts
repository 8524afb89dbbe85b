/** The Firecracker release that pyro installs, named by what it consists of. */
import { join } from "node:path";
import { firecrackerDirectory, type HostPaths } from "../../host/paths.ts";

/** The oldest Firecracker that is accepted: the one that every test of the driver runs on. */
export const FIRECRACKER_MINIMUM = "1.12";

export interface FirecrackerRelease {
  /** For example "1.12.1". */
  readonly version: string;
  /** SHA-256 of the release's archive for x86_64, hexadecimal. */
  readonly archiveSha256: string;
  /** The same of `firecracker` in it. */
  readonly programSha256: string;
}

/** docs/decisions/0006-firecracker-release.md says why this one, and where each number comes from. */
export const FIRECRACKER_RELEASE: FirecrackerRelease = {
  version: "1.12.1",
  archiveSha256: "0a75e67ef6e4c540a2cf248b06822b0be9820cbba9fe19f9e0321200fe76ff6b",
  programSha256: "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930",
};

/** Where the project publishes its releases. */
export const UPSTREAM_RELEASES = "https://github.com/firecracker-microvm/firecracker/releases/download";

/** The archive's address below `base`, laid out as upstream does (its tools/release.sh). */
export function archiveUrl({ version }: FirecrackerRelease, base: string): string {
  return `${base.replace(/\/+$/, "")}/v${version}/firecracker-v${version}-x86_64.tgz`;
}

/** The name of Firecracker in the archive. */
export const archiveEntry = ({ version }: FirecrackerRelease): string =>
  `release-v${version}-x86_64/firecracker-v${version}-x86_64`;

/** The directory that holds the installed release, as `firecracker`. */
export const releaseDirectory = (paths: HostPaths, { version }: FirecrackerRelease): string =>
  join(firecrackerDirectory(paths), `v${version}`);
