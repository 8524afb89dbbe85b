/** Decoders that Node 20 does not have, as the programs every distribution ships. */
import { PyroError } from "../contract/error.ts";
import { startGroup } from "../host/process-group.ts";

const DEADLINE_MS = 60_000;
/** Kernel modules stay far below. */
const OUTPUT_BYTES_MAX = 512 * 1024 * 1024;

/**
 * The whole of `data`, decompressed by `program`.
 *
 * @throws PyroError `dependency_missing` without the program, `artifact_corrupt` when it refuses the data.
 */
export async function decompress(program: "xz" | "zstd", data: Uint8Array): Promise<Buffer> {
  const group = startGroup(program, ["--decompress", "--stdout"], {
    deadlineMs: DEADLINE_MS,
    stdio: ["pipe", "pipe", "ignore"],
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  group.child.stdout?.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > OUTPUT_BYTES_MAX)
      group.stop(new PyroError("artifact_corrupt", `a compressed file is larger than ${OUTPUT_BYTES_MAX} bytes`));
  });
  // A decoder that gives up closes its input; its exit status says that it did.
  group.child.stdin?.on("error", () => undefined);
  group.child.stdin?.end(data);
  const { code } = await group.ended;
  if (code !== 0)
    throw new PyroError("artifact_corrupt", `${program} could not decompress a file`, {
      evidence: { exit: code ?? "signal" },
    });
  return Buffer.concat(chunks, bytes);
}
