/** Archives as Firecracker's project publishes them, whole or with one thing wrong. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { archiveEntry, type FirecrackerRelease } from "../../src/vmm/firecracker/release.ts";

export interface TarEntry {
  readonly name: string;
  readonly content?: Buffer;
  /** Default: a regular file. */
  readonly type?: string;
  /** What the header says, when that is not the content's length. */
  readonly size?: number;
}

const BLOCK_BYTES = 512;

/** A tar of the entries, ended as it must be. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const parts = entries.flatMap(({ name, content = Buffer.alloc(0), type = "0", size = content.length }) => {
    const header = Buffer.alloc(BLOCK_BYTES);
    header.write(name, 0, 100);
    header.write("0000755\0" + "0000000\0".repeat(2), 100);
    header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0        ", 136);
    header.write(type, 156, "latin1");
    header.write("ustar\u000000", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return [header, content, Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** A release of this program: its pins, and its archive, which has more files than the one, as upstream's has. */
export function releaseOf(
  program: Buffer,
  change: (entries: TarEntry[]) => readonly TarEntry[] = (entries) => entries,
): { release: FirecrackerRelease; archive: Buffer } {
  const pins = { version: "1.12.1", archiveSha256: "", programSha256: sha256(program) };
  const entries: TarEntry[] = [
    { name: "./release-v1.12.1-x86_64/", type: "5" },
    { name: "release-v1.12.1-x86_64/jailer-v1.12.1-x86_64", content: Buffer.from("#!/bin/sh\necho jail\n") },
    { name: `${archiveEntry(pins)}.debug`, content: Buffer.alloc(70_000, 7) },
    { name: archiveEntry(pins), content: program },
    { name: "release-v1.12.1-x86_64/SHA256SUMS", content: Buffer.from("sums\n") },
  ];
  const archive = gzipSync(tar(change(entries)));
  return { archive, release: { ...pins, archiveSha256: sha256(archive) } };
}
