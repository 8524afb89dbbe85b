/** Trees of files: an awkward one, and what there is to see of any. */
import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Everything but what depends on the file system: a directory's size, and the links that it counts. No cksum: that of coreutils 9.1 takes
 * AVX for usable by CPUID's bit alone, and guests in the nested machine have the bit without XSAVE.
 */
export const LOOK = `{ find . -mindepth 1 ! -type d -printf '%p %m %U %G %T@ %s %n %l\\n'
  find . -mindepth 1 -type d -printf '%p %m %U %G %T@\\n'
  find . -type f -exec sha256sum {} + ; } | LC_ALL=C sort`;

export const lookAt = (directory: string): string =>
  execFileSync("sh", ["-c", LOOK], { cwd: directory, encoding: "utf8", maxBuffer: 64 * 1024 ** 2 });

/** One of each kind, with the names of a volume's own subvolumes. */
export function awkwardTree(directory: string): void {
  const at = (...names: string[]): string => join(directory, ...names);
  for (const name of ["live/system", "baseline", "snapshots", "next"]) mkdirSync(at(name), { recursive: true });
  writeFileSync(at("script"), "#!/bin/sh\n");
  chmodSync(at("script"), 0o4751);
  writeFileSync(at("new\nline \\ *"), "x");
  // A name that is no UTF-8.
  writeFileSync(Buffer.concat([Buffer.from(at("name-")), Buffer.from([0xff, 0xfe])]), "bytes");
  writeFileSync(at("n".repeat(255)), "");
  writeFileSync(at("hard"), "two names");
  linkSync(at("hard"), at("live", "hard"));
  symlinkSync("../../etc/passwd", at("live", "up"));
  symlinkSync("/nowhere/at all", at("live", "away"));
  writeFileSync(at("sparse"), "");
  truncateSync(at("sparse"), 1024 ** 2);
  writeFileSync(at("live", "system", "old"), "old");
  execFileSync("touch", ["-d", "1999-12-31 23:59:59.123456789", at("live", "system", "old"), at("next")]);
  chmodSync(at("next"), 0o1777);
}
