/**
 * What holds of every running VMM, whatever its driver: looked at from outside, by what the kernel says of its processes.
 * Each property gives what is wrong, and nothing when it holds; needs root, or to be the VMM's own user.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

/** What is known of the machine beforehand. */
export interface Expectation {
  /** The VMM itself, not its monitor. */
  readonly pid: number;
  /** The directory it may write to. */
  readonly directory: string;
  /** Files beside it that it may write to. */
  readonly writable: readonly string[];
  /** Files of the machine that it may read. */
  readonly readable: readonly string[];
  /** Device nodes that it may use. */
  readonly devices: readonly string[];
}

export const PROPERTIES = {
  seccomp,
  noNewPrivileges,
  capabilities,
  user,
  descriptors,
  root,
  limits,
  network,
} as const;
export type Property = keyof typeof PROPERTIES;

/** The properties that do not hold, each with what is wrong. */
export function violations(expected: Expectation): Map<Property, readonly string[]> {
  const found = Object.entries(PROPERTIES).map(([name, check]) => [name as Property, check(expected)] as const);
  return new Map(found.filter(([, wrong]) => wrong.length > 0));
}

/** The process that runs as pid 1 of its namespace below a monitor, or the monitor's child where there is none. */
export function vmmBelow(monitor: number): number {
  const children = readFileSync(`/proc/${monitor}/task/${monitor}/children`, "utf8").trim().split(" ");
  const child = Number(children[0]);
  if (children.length !== 1 || !Number.isSafeInteger(child) || child === 0) {
    throw new Error(`the monitor ${monitor} has the children ${JSON.stringify(children)}`);
  }
  // An init of a program that changed its user by itself has that program as its only child.
  const below = readFileSync(`/proc/${child}/task/${child}/children`, "utf8").trim();
  return below === "" ? child : Number(below.split(" ")[0]);
}

/** The value of a field in the status of each thread. */
function ofThreads(pid: number, field: string): string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return new RegExp(`^${field}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? "";
  });
}

/** One line for a field that has not this value in every thread. */
function unless(pid: number, field: string, wanted: RegExp): string[] {
  const other = ofThreads(pid, field).filter((value) => !wanted.test(value));
  return other.length === 0 ? [] : [`${field} is ${[...new Set(other)].join(", ")}`];
}

function seccomp({ pid }: Expectation): string[] {
  return unless(pid, "Seccomp", /^2$/);
}

function noNewPrivileges({ pid }: Expectation): string[] {
  return unless(pid, "NoNewPrivs", /^1$/);
}

function capabilities({ pid }: Expectation): string[] {
  return ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].flatMap((set) => unless(pid, set, /^0+$/));
}

/** Real, effective, saved and file system user: none is root; and no group is root's. */
function user({ pid }: Expectation): string[] {
  const noRoot = /^(?:[1-9]\d*\s*)+$/;
  return [
    ...unless(pid, "Uid", noRoot),
    ...unless(pid, "Gid", noRoot),
    // Of a plain user these are the user's own.
    ...(process.getuid?.() === 0 ? unless(pid, "Groups", /^(?:[1-9]\d*\s*)*$/) : []),
  ];
}

/** What a descriptor of a VMM may be, besides the files of its machine. */
const HARMLESS = [
  /^\/dev\/null$/,
  /^pipe:/,
  /^socket:/,
  /^anon_inode:(?:\[(?:eventfd|eventpoll|signalfd|timerfd|io_uring|userfaultfd|kvm-vm|kvm-vcpu:\d+)\]|kvm-)/,
  /^\/memfd:pyro-template \(deleted\)$/,
];

function descriptors({ pid, directory, writable, readable, devices }: Expectation): string[] {
  const allowed = new Set([directory, ...writable, ...readable, ...devices]);
  return readdirSync(`/proc/${pid}/fd`).flatMap((number) => {
    const target = readlinkSync(`/proc/${pid}/fd/${number}`);
    const ours = allowed.has(target) || target.startsWith(`${directory}/`);
    return ours || HARMLESS.some((form) => form.test(target)) ? [] : [`descriptor ${number} is ${target}`];
  });
}

/** Directories of the host that every root may have, with the software that a VMM consists of. */
const SOFTWARE = /^\/(?:usr\/)?(?:lib|lib32|lib64|libexec|share\/(?:qemu|seabios|edk2|ipxe))$|^\/etc\/ld\.so\.cache$/;

/** The root's mounts: only what was named, writable only what may be written; and the working directory lies in it. */
function root(expected: Expectation): string[] {
  const { pid, directory, writable, readable, devices } = expected;
  const wrong: string[] = [];
  if (sameFile(`/proc/${pid}/root/`, "/")) wrong.push("its root is the host's");
  for (const namespace of ["mnt", "pid", "ipc", "uts"]) wrong.push(...sharedNamespace(pid, namespace));
  const cwd = readlinkSync(`/proc/${pid}/cwd`);
  if (cwd !== directory && cwd !== "/") wrong.push(`its working directory is ${cwd}`);
  const program = readlinkSync(`/proc/${pid}/exe`);
  for (const { path, options, type } of mounts(pid)) {
    const mayWrite = path === directory || writable.includes(path);
    const known =
      mayWrite ||
      [...readable, ...devices, program, "/", "/dev/fd"].includes(path) ||
      SOFTWARE.test(path) ||
      program.startsWith(`${path}/`);
    if (!known) wrong.push(`it sees ${path} (${type})`);
    if (!mayWrite && !devices.includes(path) && !options.includes("ro")) wrong.push(`it may write to ${path}`);
    if (!options.includes("nosuid")) wrong.push(`${path} may have set-user-id programs`);
    if (!devices.includes(path) && !options.includes("nodev")) wrong.push(`${path} may have devices`);
  }
  return wrong;
}

function mounts(pid: number): { path: string; options: string[]; type: string }[] {
  return readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const fields = line.split(" ");
      const path = (fields[4] ?? "").replaceAll(/\\(\d{3})/g, (_, octal: string) =>
        String.fromCharCode(parseInt(octal, 8)),
      );
      return { path, options: (fields[5] ?? "").split(","), type: fields[fields.indexOf("-") + 1] ?? "" };
    });
}

/** Most that a VMM may be allowed: far more than one needs, far less than a host has. */
const LIMITS: readonly [name: string, most: number][] = [
  ["Max core file size", 0],
  ["Max locked memory", 64 * 1024],
  ["Max open files", 4096],
  ["Max processes", 256],
  ["Max file size", 1024 ** 4],
  ["Max address space", 1024 ** 4],
];

function limits({ pid }: Expectation): string[] {
  const text = readFileSync(`/proc/${pid}/limits`, "utf8");
  return LIMITS.flatMap(([name, most]) => {
    const [, soft = "", hard = ""] = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, "m").exec(text) ?? [];
    return [soft, hard].every((value) => Number(value) <= most) ? [] : [`${name} is ${soft}, ${hard}`];
  });
}

/** A network namespace of its own without an interface but loopback, and nothing in it that listens but its own sockets. */
function network({ pid, directory }: Expectation): string[] {
  const wrong = sharedNamespace(pid, "net");
  if (wrong.length > 0) return wrong;
  const rows = (name: string): string[] => readFileSync(`/proc/${pid}/net/${name}`, "utf8").trim().split("\n").slice(1);
  const interfaces = rows("dev").map((line) => line.trim().split(":")[0] ?? "");
  wrong.push(
    ...interfaces.filter((name) => name !== "lo" && !name.includes("|")).map((name) => `it has the interface ${name}`),
  );
  for (const protocol of ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"]) {
    if (existsSync(`/proc/${pid}/net/${protocol}`))
      wrong.push(...rows(protocol).map((line) => `${protocol}: ${line.trim()}`));
  }
  // unix(7) in /proc: the flag __SO_ACCEPTCON, 0x10000, is a listener's.
  const listeners = rows("unix").filter((line) => (parseInt(line.trim().split(/\s+/)[3] ?? "0", 16) & 0x10000) !== 0);
  for (const line of listeners) {
    const path = line.trim().split(/\s+/)[7] ?? "(no name)";
    // An abstract name begins with @; a relative one is below the working directory.
    const ours = !path.startsWith("@") && [path, join(directory, path)].some((each) => dirname(each) === directory);
    if (!ours) wrong.push(`it listens on ${path}`);
  }
  return wrong;
}

function sharedNamespace(pid: number, name: string): string[] {
  const [theirs, ours] = [`/proc/${pid}`, "/proc/self"].map((process) => readlinkSync(`${process}/ns/${name}`));
  return theirs === ours ? [`its ${name} namespace is the host's`] : [];
}

function sameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => statSync(path));
  return a?.dev === b?.dev && a?.ino === b?.ino;
}
