/** The Firecracker release that pyro installs, named by what it consists of. */
import { join } from "node:path";
import { firecrackerDirectory, type HostPaths } from "../../host/paths.ts";

/** The oldest Firecracker that is accepted: the one that every test of the driver runs on. */
export const FIRECRACKER_MINIMUM = "1.12";

export const RELEASE_PROGRAMS = ["firecracker", "jailer"] as const;
export type ReleaseProgram = (typeof RELEASE_PROGRAMS)[number];

export interface FirecrackerRelease {
  /** For example "1.12.1". */
  readonly version: string;
  /** SHA-256 of the release's archive for x86_64, hexadecimal. */
  readonly archiveSha256: string;
  /** SHA-256 of the two programs in it. */
  readonly programSha256: Readonly<Record<ReleaseProgram, string>>;
}

/** docs/decisions/0005-firecracker-release.md says why this one, and where each number comes from. */
export const FIRECRACKER_RELEASE: FirecrackerRelease = {
  version: "1.12.1",
  archiveSha256: "0a75e67ef6e4c540a2cf248b06822b0be9820cbba9fe19f9e0321200fe76ff6b",
  programSha256: {
    firecracker: "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930",
    jailer: "86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5",
  },
};

/** Where the project publishes its releases. */
export const UPSTREAM_RELEASES = "https://github.com/firecracker-microvm/firecracker/releases/download";

/** The archive's address below `base`, laid out as upstream does (its tools/release.sh). */
export function archiveUrl({ version }: FirecrackerRelease, base: string): string {
  return `${base.replace(/\/+$/, "")}/v${version}/firecracker-v${version}-x86_64.tgz`;
}

/** The name of a program in the archive. */
export const archiveEntry = ({ version }: FirecrackerRelease, program: ReleaseProgram): string =>
  `release-v${version}-x86_64/${program}-v${version}-x86_64`;

/** The directory that holds the installed release's programs, by their plain names. */
export const releaseDirectory = (paths: HostPaths, { version }: FirecrackerRelease): string =>
  join(firecrackerDirectory(paths), `v${version}`);
