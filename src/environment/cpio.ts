/**
 * Writer for the "newc" cpio format, the one the Linux kernel unpacks as its initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst).
 */
import { PyroError } from "../contract/error.ts";

export interface CpioEntry {
  /** Path inside the archive, without a leading slash. */
  readonly path: string;
  readonly kind: "directory" | "file";
  /** Permission bits. */
  readonly mode: number;
  /** Absent for a directory. */
  readonly content?: Uint8Array;
}

const TYPE_BITS = { directory: 0o040_000, file: 0o100_000 };
const HEADER_BYTES = 110;
/** Sizes are eight hexadecimal digits. */
const CONTENT_BYTES_MAX = 0xffff_ffff;

/** The archive of `entries`, in their order: a directory must come before what is in it. Owner root, time 0. */
export function encodeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => encodeEntry(entry, index + 1));
  return Buffer.concat([
    ...parts,
    ...encodeRecord("TRAILER!!!", { mode: 0, inode: 0, links: 1, content: new Uint8Array() }),
  ]);
}

function encodeEntry(entry: CpioEntry, inode: number): Buffer[] {
  const content = entry.content ?? new Uint8Array();
  if (entry.path === "" || entry.path.startsWith("/") || entry.path.includes("\0") || entry.path === "TRAILER!!!") {
    throw new PyroError("internal", `not a path for a cpio archive: ${JSON.stringify(entry.path)}`);
  }
  if (content.length > CONTENT_BYTES_MAX)
    throw new PyroError("internal", `${entry.path} is too large for a cpio archive`);
  const links = entry.kind === "directory" ? 2 : 1;
  return encodeRecord(entry.path, { mode: TYPE_BITS[entry.kind] | entry.mode, inode, links, content });
}

function encodeRecord(
  name: string,
  record: { mode: number; inode: number; links: number; content: Uint8Array },
): Buffer[] {
  const nameBytes = Buffer.from(`${name}\0`);
  // magic "070701" then: ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [
    record.inode,
    record.mode,
    0,
    0,
    record.links,
    0,
    record.content.length,
    0,
    0,
    0,
    0,
    nameBytes.length,
    0,
  ];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return [
    header,
    nameBytes,
    padding(HEADER_BYTES + nameBytes.length),
    Buffer.from(record.content.buffer, record.content.byteOffset, record.content.length),
    padding(record.content.length),
  ];
}

/** Header with name, and content, each end at a multiple of four. */
const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);
