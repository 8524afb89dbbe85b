/**
 * Gives the root directory of a squashfs image to root.
 *
 * sqfstar (4.5.1, Debian 12) ignores its own options for that and writes the user who ran it, so that the same tree
 * would be another image for each user. With the inode table stored uncompressed it is two numbers to change. Offsets
 * are those of squashfs 4.0 (fs/squashfs/squashfs_fs.h of the kernel).
 */
import { type FileHandle, open } from "node:fs/promises";
import { PyroError } from "../contract/error.ts";

const MAGIC = 0x7371_7368;
const SUPERBLOCK_BYTES = 96;
/** In the header of a metadata block: the length, and whether the block is stored as it is. */
const LENGTH_BITS = 0x7fff;
const UNCOMPRESSED_BIT = 0x8000;
/** In an inode: type, mode, index of the owner, index of the group; two bytes each. */
const OWNER_OFFSET = 4;

/**
 * Changes owner and group of the image's root directory to 0.
 *
 * @throws PyroError `environment_failed` when the file is no squashfs image with uncompressed tables of inodes and ids.
 */
export async function ownRootDirectory(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    const superblock = await readAt(file, 0, SUPERBLOCK_BYTES);
    if (superblock.readUInt32LE(0) !== MAGIC || superblock.readUInt16LE(28) !== 4) throw notAsWritten(path);
    const idBlock = Number((await readAt(file, Number(superblock.readBigUInt64LE(48)), 8)).readBigUInt64LE(0));
    const ids = await readMetadata(file, idBlock);
    const rootReference = superblock.readBigUInt64LE(32);
    const inodeBlock = Number(superblock.readBigUInt64LE(64)) + Number(rootReference >> 16n);
    const inodes = await readMetadata(file, inodeBlock);
    if (ids === undefined || inodes === undefined) throw notAsWritten(path);
    const index = Array.from({ length: ids.length / 4 }, (_, at) => ids.readUInt32LE(at * 4)).indexOf(0);
    if (index < 0) throw notAsWritten(path); // a system without one file of root's
    const owner = Buffer.alloc(4);
    owner.writeUInt16LE(index, 0);
    owner.writeUInt16LE(index, 2);
    await file.write(owner, 0, owner.length, inodeBlock + 2 + Number(rootReference & 0xffffn) + OWNER_OFFSET);
  } finally {
    await file.close();
  }
}

/** Content of an uncompressed metadata block: a header of two bytes, then the data. */
async function readMetadata(file: FileHandle, at: number): Promise<Buffer | undefined> {
  const header = (await readAt(file, at, 2)).readUInt16LE(0);
  return (header & UNCOMPRESSED_BIT) === 0 ? undefined : await readAt(file, at + 2, header & LENGTH_BITS);
}

async function readAt(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, at);
  if (bytesRead !== bytes) throw new PyroError("environment_failed", "the root file system image is cut off");
  return buffer;
}

function notAsWritten(path: string): PyroError {
  return new PyroError("environment_failed", `${path} is not a squashfs image as pyro writes it`, {
    remedy: "`sqfstar -version` should be 4.5 or newer",
  });
}
