/**
 * What the nested machine is given of this host: the checkout as it is built, the installed environment, the VMMs and
 * Node. One squashfs image, not compressed: packing takes a second or two, and reading it inside needs no unpacking.
 */
import {
  constants,
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { readdirSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { installEnvironment } from "../../src/environment/store.ts";
import { isErrno } from "../../src/host/files.ts";
import { runProgram } from "../../src/host/process.ts";
import { hostDirectories, NESTED_CACHE } from "./places.ts";

/** Environments that guests inside may use: nothing is pulled there. */
const ENVIRONMENTS = ["debian:12"];
/** Parts of the checkout, relative to it. */
const CHECKOUT = [
  ...["package.json", "dist", ".build"],
  ...["scripts/suite/reporter.mjs", "test/support/write-from-inside"],
];
/** What compiled sources and tests import at run time, besides what these depend on. dist/ needs nothing. */
const PACKAGES = [
  ...["zod", "smol-toml", "@bufbuild/protobuf"],
  ...["@orpc/client", "@orpc/server", "@orpc/standard-server", "@orpc/standard-server-node"],
];
/** The C library's own files: these are the machine's. Another C library's do not work with its loader. */
const C_LIBRARY = /^(ld-linux.*|linux-vdso|lib(c|m|dl|rt|pthread|util|resolv))\.so/;
const PROGRAM_DEADLINE_MS = 60_000;

/** Packs the payload and gives its path. A machine that runs keeps the one it has. */
export async function buildPayload(firecracker: string): Promise<string> {
  const staging = join(NESTED_CACHE, `.payload-${process.pid}`);
  const image = join(NESTED_CACHE, "payload.squashfs");
  rmSync(staging, { recursive: true, force: true });
  try {
    for (const part of CHECKOUT) linkTree(part, join(staging, part));
    for (const name of withDependencies(PACKAGES))
      linkTree(`node_modules/${name}`, join(staging, "node_modules", name));
    for (const path of [process.execPath, firecracker]) linkTree(path, join(staging, "bin", basename(path)));
    for (const path of await librariesOfNode()) linkTree(path, join(staging, "lib", basename(path)));
    const records = [];
    for (const name of ENVIRONMENTS) records.push(...(await stageEnvironment(name, staging)));
    await pack(staging, `${staging}.squashfs`, records);
    renameSync(`${staging}.squashfs`, image);
    return image;
  } finally {
    rmSync(staging, { recursive: true, force: true });
    rmSync(`${staging}.squashfs`, { force: true });
  }
}

/** Gives the paths of its records in the payload. */
async function stageEnvironment(name: string, staging: string): Promise<string[]> {
  const { summary, manifest } = await installEnvironment(name, { paths: hostDirectories });
  const kernel = join(hostDirectories.cache, "kernels", manifest.kernel.id);
  const inPayload = (path: string): string => join("cache", relative(hostDirectories.cache, path));
  for (const path of [summary.install_dir, kernel]) linkTree(path, join(staging, inPayload(path)));
  return [join(inPayload(summary.install_dir), "environment.json"), join(inPayload(kernel), "kernel.json")];
}

/** `everybodys`: files that every user of the machine may read, whatever they are here. */
async function pack(directory: string, image: string, everybodys: readonly string[]): Promise<void> {
  const options = ["-noappend", "-noI", "-noD", "-noF", "-no-xattrs", "-all-root", "-quiet", "-no-progress"];
  const modes = everybodys.flatMap((path) => ["-p", `${path} m 444 0 0`]);
  const { code, stderr } = await runProgram("mksquashfs", [directory, image, ...options, ...modes], {
    deadlineMs: PROGRAM_DEADLINE_MS,
  });
  if (code !== 0) throw new Error(`mksquashfs ended with ${code}: ${stderr.trim().slice(-1000)}`);
}

/** Libraries that this Node needs and the machine may not have. */
async function librariesOfNode(): Promise<string[]> {
  const { stdout } = await runProgram("ldd", [process.execPath], { deadlineMs: PROGRAM_DEADLINE_MS });
  const paths = [...stdout.matchAll(/=> (\/\S+)/g)].map(([, path = ""]) => path);
  return paths.filter((path) => !C_LIBRARY.test(basename(path)));
}

/** `names` and all they depend on, as far as it is installed at the top: npm puts nothing deeper for these. */
function withDependencies(names: readonly string[], seen = new Set<string>()): Set<string> {
  for (const name of names.filter((each) => !seen.has(each))) {
    seen.add(name);
    const manifest = JSON.parse(readFileSync(join("node_modules", name, "package.json"), "utf8")) as {
      dependencies?: Record<string, string>;
    };
    withDependencies(Object.keys(manifest.dependencies ?? {}), seen);
  }
  return seen;
}

/** The same files under another name: hard links where the file system can, else copies of the same age. */
function linkTree(source: string, target: string): void {
  const found = statSync(source);
  if (found.isDirectory()) {
    mkdirSync(target, { recursive: true });
    for (const name of readdirSync(source)) linkTree(join(source, name), join(target, name));
    return;
  }
  mkdirSync(dirname(target), { recursive: true });
  try {
    linkSync(source, target);
  } catch (failure) {
    if (!isErrno(failure, "EXDEV") && !isErrno(failure, "EPERM")) throw failure;
    copyFileSync(source, target, constants.COPYFILE_FICLONE);
    utimesSync(target, found.atime, found.mtime);
  }
}
