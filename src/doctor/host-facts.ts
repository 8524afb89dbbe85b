/** The one way in which doctor's checks look at the host, so that a test can show them another one. */
import { constants } from "node:fs";
import { access, readdir, readFile, stat, statfs } from "node:fs/promises";
import { availableParallelism, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { verifyPackageFile } from "../host/package-files.ts";
import { type Confinement, confinementHere } from "../vmm/confinement.ts";
import { type HostCpu, hostCpu } from "../vmm/host-cpu.ts";
import { inspectKvmDevice, type KvmDevice } from "../vmm/kvm-probe-device.ts";
import { findProgram } from "../vmm/program.ts";

/** Debian leaves these out of a plain user's PATH, and some tools live only there. */
const SYSTEM_DIRECTORIES = ["usr/local/sbin", "usr/sbin", "sbin"];

export interface HostFacts {
  readonly env: NodeJS.ProcessEnv;
  /** As Node says them: "linux", "x64". */
  readonly platform: string;
  readonly arch: string;
  readonly uid: number;
  /** Undefined when the uid has no entry in passwd. */
  readonly userName: string | undefined;
  readonly cpuCount: number;
  /** A system file's text; undefined when it is not there or may not be read. `path` is relative to the root. */
  readText(path: string): Promise<string | undefined>;
  /** Whether a system file is there and may be read and written. */
  mayOpen(path: string): Promise<boolean>;
  /** Whether a system file is there. */
  exists(path: string): Promise<boolean>;
  /** Absolute path of a program, or undefined. */
  find(program: string): Promise<string | undefined>;
  kvmDevice(): Promise<KvmDevice>;
  /** Tries the launcher. @throws PyroError when there is none that can be tried */
  confinement(): Promise<Confinement>;
  /** Throws PyroError host_unsupported when the kernel does not say what pyro must know. */
  cpu(): HostCpu;
  /** Undefined when nothing is there. `path` is absolute and pyro's own, not relative to the root. */
  directory(path: string): Promise<DirectoryFacts | undefined>;
  /** Names in a directory, none when there is no such directory. */
  list(path: string): Promise<string[]>;
}

export interface DirectoryFacts {
  readonly isDirectory: boolean;
  readonly ownerUid: number;
  /** Permission bits. */
  readonly mode: number;
  /** May be written by this process; false also on a read-only file system. */
  readonly writable: boolean;
  /** Room for this user, in bytes. */
  readonly freeBytes: number;
}

/** The host below `root` ("/" outside tests). */
export function hostFacts(env: NodeJS.ProcessEnv = process.env, root = "/"): HostFacts {
  const at = (path: string): string => join(root, path);
  const searchPath = [env["PATH"] ?? "", ...SYSTEM_DIRECTORIES.map((directory) => at(directory))].join(delimiter);
  return {
    env,
    platform: process.platform,
    arch: process.arch,
    uid: process.getuid?.() ?? 0,
    userName: userName(),
    cpuCount: availableParallelism(),
    readText: async (path) => await orUndefined(readFile(at(path), "utf8")),
    mayOpen: async (path) => await succeeds(access(at(path), constants.R_OK | constants.W_OK)),
    exists: async (path) => await succeeds(access(at(path))),
    find: async (program) => await findProgram(program, searchPath),
    kvmDevice: async () => await inspectKvmDevice(root),
    confinement: async () => await confinementHere((await verifyPackageFile("launcher", env)).path),
    cpu: () => hostCpu(root),
    directory: directoryFacts,
    list: async (path) => (await orUndefined(readdir(path))) ?? [],
  };
}

async function directoryFacts(path: string): Promise<DirectoryFacts | undefined> {
  const node = await orUndefined(stat(path));
  if (node === undefined) return undefined;
  const [writable, space] = await Promise.all([
    succeeds(access(path, constants.W_OK | constants.X_OK)),
    orUndefined(statfs(path)),
  ]);
  return {
    isDirectory: node.isDirectory(),
    ownerUid: node.uid,
    mode: node.mode & 0o777,
    writable,
    freeBytes: space === undefined ? 0 : space.bavail * space.bsize,
  };
}

function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    // No entry in passwd, as in a container with an arbitrary uid.
    return undefined;
  }
}

async function orUndefined<T>(promise: Promise<T>): Promise<T | undefined> {
  return await promise.catch(() => undefined);
}

async function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return await promise.then(
    () => true,
    () => false,
  );
}
