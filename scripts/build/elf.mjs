/** Reads of an ELF file the one thing that matters here: whether it runs without a dynamic loader (elf(5)). */

const MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const PT_INTERP = 3;

/** Why `bytes` is not a static x86-64 Linux program, or undefined when it is one. */
export function whyNotStatic(bytes) {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== MAGIC || bytes[4] !== CLASS_64) return "not a 64-bit ELF file";
  const offset = Number(bytes.readBigUInt64LE(32));
  const entryBytes = bytes.readUInt16LE(54);
  const count = bytes.readUInt16LE(56);
  for (let index = 0; index < count; index += 1) {
    if (bytes.readUInt32LE(offset + index * entryBytes) === PT_INTERP)
      return "it asks for a dynamic loader (PT_INTERP)";
  }
  return undefined;
}
