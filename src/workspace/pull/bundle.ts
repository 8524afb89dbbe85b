/** A git bundle (gitformat-bundle(5)): a header of lines, an empty line, a pack. Read as what it is: written by a guest. */
import { open } from "node:fs/promises";

/** Hundreds of commits that it builds on, each with its subject. */
const HEADER_BYTES_MAX = 1024 ** 2;

const SIGNATURES: ReadonlySet<string | undefined> = new Set(["# v2 git bundle", "# v3 git bundle"]);
/** Of version 3. A filter would leave objects out. */
const CAPABILITY = /^@object-format=(sha1|sha256)$/;
const PREREQUISITE = /^-([0-9a-f]{40}|[0-9a-f]{64}) /;

/** Where its pack begins, in bytes, if its one reference is `reference` and that is `commit`; otherwise undefined. */
export async function packOffset(path: string, commit: string, reference: string): Promise<number | undefined> {
  const header = await readHeader(path);
  if (header === undefined) return undefined;
  const [signature, ...rest] = header.toString("latin1").split("\n");
  const references = rest.filter((line) => !CAPABILITY.test(line) && !PREREQUISITE.test(line));
  const isOurs = SIGNATURES.has(signature) && references.length === 1 && references[0] === `${commit} ${reference}`;
  return isOurs ? header.length + 2 : undefined;
}

/** What is before the empty line. */
async function readHeader(path: string): Promise<Buffer | undefined> {
  const file = await open(path, "r");
  try {
    const begin = Buffer.alloc(HEADER_BYTES_MAX);
    const { bytesRead } = await file.read(begin, 0, begin.length, 0);
    const end = begin.subarray(0, bytesRead).indexOf("\n\n");
    return end === -1 ? undefined : begin.subarray(0, end);
  } finally {
    await file.close();
  }
}
