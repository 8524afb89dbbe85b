/** Archives on the host: told by what they begin with, decompressed into a file, read by pyro-seed. Nothing is unpacked. */
import { createWriteStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { PyroError } from "../../contract/error.ts";
import { ended, startProgram } from "../../host/process.ts";

/** Decompressing as much as a volume holds. */
const ZSTD_DEADLINE_MS = 3_600_000;

type Compression = "gzip" | "zstd";

/** First bytes of gzip (RFC 1952, 2.3.1) and of Zstandard (RFC 8878, 3.1.1). */
const MAGIC: readonly { readonly bytes: readonly number[]; readonly compression: Compression }[] = [
  { bytes: [0x1f, 0x8b], compression: "gzip" },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], compression: "zstd" },
];

/** What tells the archive's state: it is not looked into. */
export async function stampOfArchive(path: string): Promise<{ stamp: string; newestNs: bigint; diskBytes: number }> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return { stamp: [dev, ino, size, mtimeNs, ctimeNs].join(" "), newestNs: ctimeNs, diskBytes: Number(size) };
}

/**
 * The archive as a file that is not compressed: itself, or `target`, which is written.
 * @throws PyroError invalid_argument when it is damaged, resource_exhausted past `limitBytes`, dependency_missing without zstd
 */
export async function expandArchive(
  path: string,
  target: string,
  { limitBytes, signal }: { limitBytes: number; signal: AbortSignal },
): Promise<string> {
  const file = await open(path, "r");
  try {
    const compression = await compressionOf(file);
    if (compression === undefined) return path;
    const input = file.createReadStream({ start: 0, autoClose: false });
    const output = createWriteStream(target, { flags: "wx", mode: 0o600 });
    const limited = limit(limitBytes);
    if (compression === "gzip") await pipeline(input, createGunzip(), limited, output, { signal });
    else await unzstd(input, limited, output, signal);
    return target;
  } catch (failure) {
    throw explained(failure, path);
  } finally {
    await file.close();
  }
}

async function compressionOf(file: {
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
}): Promise<Compression | undefined> {
  const begin = Buffer.alloc(4);
  const { bytesRead } = await file.read(begin, 0, begin.length, 0);
  const read = begin.subarray(0, bytesRead);
  return MAGIC.find(({ bytes }) => bytes.every((byte, index) => read[index] === byte))?.compression;
}

/** By the program: Node 20 has no decoder. */
async function unzstd(
  input: Readable,
  limited: Transform,
  output: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<void> {
  const child = startProgram("zstd", ["--decompress", "--stdout", "--quiet"], { stdio: ["pipe", "pipe", "ignore"] });
  const end = ended(child, "zstd", { deadlineMs: ZSTD_DEADLINE_MS, signal });
  // Whichever side fails first is awaited below.
  end.catch(() => undefined);
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new PyroError("internal", "zstd was started without pipes");
  // A decoder that gives up closes its input; its exit status says that it did.
  const feeding = pipeline(input, stdin).catch(() => undefined);
  try {
    await pipeline(stdout, limited, output, { signal });
  } catch (failure) {
    child.kill("SIGKILL");
    await end.catch(() => undefined);
    throw failure;
  } finally {
    await feeding;
  }
  const { code } = await end;
  if (code !== 0) throw new PyroError("invalid_argument", "zstd refused it");
}

/** Lets no more than so many bytes through: what a few compressed bytes become has no bound of its own. */
function limit(limitBytes: number): Transform {
  let bytes = 0;
  return new Transform({
    transform: (piece: Buffer, _encoding, done) => {
      bytes += piece.length;
      if (bytes <= limitBytes) return done(null, piece);
      const gib = (limitBytes / 1024 ** 3).toFixed(1);
      const remedy = "free some space on the disk of pyro's state, or make an archive of less";
      return done(
        new PyroError("resource_exhausted", `it unpacks to more than the ${gib} GiB there is room for`, { remedy }),
      );
    },
  });
}

function explained(failure: unknown, path: string): PyroError {
  const error = PyroError.from(failure);
  if (PyroError.is(failure) && failure.code === "invalid_argument") {
    return new PyroError("invalid_argument", `${path}: ${failure.message}`, { cause: failure });
  }
  const code = (failure as NodeJS.ErrnoException).code ?? "";
  if (code.startsWith("Z_")) {
    return new PyroError("invalid_argument", `${path} is damaged: ${error.message}`, { cause: failure });
  }
  if (code === "ENOSPC") return new PyroError("resource_exhausted", "the host's disk is full", { cause: failure });
  if (code === "ABORT_ERR")
    return new PyroError("cancelled", "the archive was not read to its end", { cause: failure });
  return error;
}
