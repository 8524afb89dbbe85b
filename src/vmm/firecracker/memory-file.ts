/** Guest memory as Firecracker writes it: every page of it, most of them zero. */
import { open } from "node:fs/promises";
import { Scope } from "../../host/scope.ts";

/** Pages are what a guest's memory is mapped by. */
const PAGE_BYTES = 4096;
const CHUNK_BYTES = 4 * 1024 * 1024;

/** Copies `source` to the new file `target` without its zero pages, which become holes, and flushes it to the disk. */
export async function copySparse(source: string, target: string): Promise<void> {
  await using scope = new Scope();
  const from = await open(source, "r");
  scope.defer(() => from.close());
  const to = await open(target, "wx", 0o600);
  scope.defer(() => to.close());
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let position = 0;
  for (;;) {
    const { bytesRead } = await from.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    for (const [start, end] of nonZeroRuns(chunk.subarray(0, bytesRead))) {
      await to.write(chunk, start, end - start, position + start);
    }
    position += bytesRead;
  }
  await to.truncate(position);
  await to.sync();
}

/** The parts of `data` that hold anything but zeros, as starts and ends, by pages. */
export function* nonZeroRuns(data: Buffer): Generator<readonly [start: number, end: number]> {
  const zeros = Buffer.alloc(PAGE_BYTES);
  let start: number | undefined;
  for (let page = 0; page < data.length; page += PAGE_BYTES) {
    const end = Math.min(page + PAGE_BYTES, data.length);
    const empty = data.compare(zeros, 0, end - page, page, end) === 0;
    if (empty && start !== undefined) yield [start, page];
    start = empty ? undefined : (start ?? page);
  }
  if (start !== undefined) yield [start, data.length];
}
