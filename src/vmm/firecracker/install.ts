/**
 * Installs the pinned Firecracker release under pyro's own directory. Nothing of it touches the disk before the archive's
 * hash is right, and nothing of it is executed that is not pinned.
 */
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { PyroError } from "../../contract/error.ts";
import { isErrno, syncDirectory, writeFileDurably } from "../../host/files.ts";
import { firecrackerDirectory, type HostPaths, makePrivateDirectory } from "../../host/paths.ts";
import { type FirecrackerProgram, installedProgram } from "./binary.ts";
import { download, type DownloadLimits } from "./download.ts";
import {
  archiveEntry,
  archiveUrl,
  FIRECRACKER_RELEASE,
  type FirecrackerRelease,
  releaseDirectory,
  UPSTREAM_RELEASES,
} from "./release.ts";
import { readTarFiles } from "./tar.ts";

const MIB = 1024 * 1024;
/** The archive has some 8 MiB; a slow line carries it in minutes. */
const DOWNLOAD_LIMITS: DownloadLimits = { bytesMax: 64 * MIB, deadlineMs: 600_000, stallMs: 30_000 };
/** Firecracker has 2.8 MiB; the other files in the archive, its jailer and debug information among them, are skipped. */
const UNPACK_LIMITS = { entryBytesMax: 32 * MIB, totalBytesMax: 1024 * MIB };
/** Directories under construction of an installer that is surely gone: the download has its deadline. */
const PARTIAL_AGE_MS = 2 * 60 * 60 * 1000;
const PARTIAL_PREFIX = ".partial-";

export interface InstallOptions {
  readonly paths: HostPaths;
  /** Where `v<version>/<archive>` lies; default: upstream. `PYRO_FIRECRACKER_MIRROR`. */
  readonly mirror?: string | undefined;
  /** Default: the pinned one. For tests; no variable sets it. */
  readonly release?: FirecrackerRelease;
  readonly limits?: DownloadLimits;
  readonly signal?: AbortSignal;
}

/** Where the release would be fetched from. */
export function releaseUrl(mirror: string | undefined, release: FirecrackerRelease = FIRECRACKER_RELEASE): string {
  return archiveUrl(release, mirror === undefined || mirror === "" ? UPSTREAM_RELEASES : mirror);
}

/**
 * Downloads, checks, unpacks, checks again, and puts the release in place in one step; one that is in place and whole
 * is left alone, an altered one is replaced. What fails leaves nothing.
 * @throws PyroError artifact_corrupt when the archive or the program in it is not the pinned one, and as `download`
 */
export async function installFirecracker(options: InstallOptions): Promise<FirecrackerProgram> {
  const { paths, release = FIRECRACKER_RELEASE } = options;
  const present = await installedProgram(paths, release).catch(() => undefined);
  if (present !== undefined) return present;
  const url = releaseUrl(options.mirror, release);
  const archive = await download(url, options.limits ?? DOWNLOAD_LIMITS, options.signal);
  const found = sha256(archive);
  if (found !== release.archiveSha256) {
    throw new PyroError("artifact_corrupt", `${url} is not the archive of Firecracker ${release.version}`, {
      remedy:
        "try again; if it stays so, the server or something on the way alters it: use another PYRO_FIRECRACKER_MIRROR",
      evidence: { bytes: archive.length, sha256: found, expected: release.archiveSha256 },
    });
  }
  await place(paths, release, await unpack(archive, release));
  const installed = await installedProgram(paths, release);
  if (installed === undefined) throw new PyroError("internal", "the installed Firecracker is not there");
  return installed;
}

/** Firecracker out of the archive, with the right hash. */
async function unpack(archive: Buffer, release: FirecrackerRelease): Promise<Buffer> {
  const name = archiveEntry(release);
  // The stream's own errors come out of the reader, as its source's.
  const stream = Readable.from([archive]).pipe(createGunzip());
  const files = await readTarFiles(stream, [name], UNPACK_LIMITS).finally(() => stream.destroy());
  const program = files.get(name) ?? Buffer.alloc(0);
  const found = sha256(program);
  if (found !== release.programSha256) {
    throw new PyroError("artifact_corrupt", `${name} in the archive is not the pinned one`, {
      remedy: "nothing was installed; set PYRO_FIRECRACKER to a Firecracker that you trust",
      evidence: { sha256: found, expected: release.programSha256 },
    });
  }
  return program;
}

/** Writes beside the final place, and renames: whoever looks sees all of it or nothing. */
async function place(paths: HostPaths, release: FirecrackerRelease, program: Buffer): Promise<void> {
  const parent = makePrivateDirectory(firecrackerDirectory(paths));
  await sweep(parent);
  const partial = join(parent, `${PARTIAL_PREFIX}${randomBytes(6).toString("hex")}`);
  try {
    await mkdir(partial);
    const path = join(partial, "firecracker");
    await writeFileDurably(path, program);
    // Not as modes of the creation: a umask would cut them. A VMM that runs as another user reads and executes it.
    for (const each of [partial, path]) await chmod(each, 0o755);
    await moveInto(partial, releaseDirectory(paths, release), async () => {
      // Somebody else may have been quicker: what is whole stays.
      return (await installedProgram(paths, release).catch(() => undefined)) !== undefined;
    });
    await syncDirectory(parent);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function moveInto(partial: string, target: string, isWhole: () => Promise<boolean>): Promise<void> {
  try {
    await rename(partial, target);
  } catch (failure) {
    if (!isErrno(failure, "ENOTEMPTY") && !isErrno(failure, "EEXIST")) throw failure;
    if (await isWhole()) return;
    // An altered one is in the way; it goes where the sweep finds it if we die now.
    const old = `${partial}-old`;
    await rename(target, old);
    await rename(partial, target);
    await rm(old, { recursive: true, force: true });
  }
}

/** Removes what killed installers left. */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PARTIAL_PREFIX)) continue;
    const found = await stat(join(parent, name)).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > PARTIAL_AGE_MS) {
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
