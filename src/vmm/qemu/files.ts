/** The files of the host that a QEMU needs: its program, its libraries, its firmware. */
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where distributions put libraries and firmware; not every one has every one. */
const SYSTEM_PATHS = [
  "/lib",
  "/lib32",
  "/lib64",
  "/usr/lib",
  "/usr/lib32",
  "/usr/lib64",
  "/usr/libexec",
  "/usr/share/qemu",
  "/usr/share/seabios",
  "/usr/share/edk2",
  "/usr/share/ipxe",
  "/etc/ld.so.cache",
];
/** Directories whose content is the distribution's. */
const SYSTEM_PROGRAMS = ["/usr/bin", "/bin"];
/** Stores where each package has a directory of its own, and libraries lie in others. */
const STORES = ["/nix/store", "/gnu/store"];

/** Paths to show to the QEMU at `binary`, read-only. */
export function qemuFiles(binary: string): string[] {
  const real = realpathSync(binary);
  const store = STORES.find((each) => real.startsWith(`${each}/`));
  const elsewhere = SYSTEM_PROGRAMS.includes(dirname(real)) ? [] : [store ?? prefixOf(real)];
  return [...new Set([binary, ...elsewhere, ...SYSTEM_PATHS.filter((path) => existsSync(path))])];
}

/** `/opt/qemu` of `/opt/qemu/bin/qemu-system-x86_64`; for a program that lies alone, itself. */
function prefixOf(program: string): string {
  const directory = dirname(program);
  return existsSync(join(directory, "..", "share", "qemu")) ? dirname(directory) : program;
}
