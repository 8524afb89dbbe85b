/** Guests that are none: they give these bytes for a tree, whatever they are asked for. With the real pyro-seed, as tests of `test/agent` have it. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { PyroError } from "../../src/contract/error.ts";
import type { MachineFiles } from "../../src/machine/guest-files.ts";
import { CopyPlace } from "../../src/workspace/files/copy-place.ts";
import type { exportTo } from "../../src/workspace/files/export.ts";

export const SEEDER = join(process.cwd(), "dist", "host", "pyro-seed");

/** The stream of a directory of the host's. */
export const streamOf = (directory: string): Buffer =>
  execFileSync(SEEDER, ["pack", directory], { stdio: ["ignore", "pipe", "ignore"], maxBuffer: 64 * 1024 ** 2 });

/** Of a guest that gives these pieces. */
export function giving(pieces: readonly Uint8Array[], failure?: PyroError): MachineFiles {
  const none = async (): Promise<never> => await Promise.reject(new PyroError("internal", "it is not asked for"));
  return {
    push: none,
    list: none,
    read: none,
    write: none,
    search: none,
    patch: none,
    pull: async (_files, take) => {
      for (const piece of pieces) await take(piece);
      if (failure !== undefined) throw failure;
      return { skipped: 0, firstSkipped: [] };
    },
  };
}

/** Bytes in so many pieces. */
export function inPieces(bytes: Buffer, count: number): Buffer[] {
  const size = Math.ceil(bytes.length / count);
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
}

/** Where a server with this state directory keeps what copies need. */
export const placeIn = (state: string, onNotice: (notice: string) => void = () => undefined): CopyPlace =>
  new CopyPlace({ state, program: async () => await Promise.resolve(SEEDER), onNotice });

/** What an export needs beside its order. */
export const exportParts = (files: MachineFiles, state: string): Parameters<typeof exportTo>[1] => ({
  files,
  program: SEEDER,
  place: placeIn(state),
  signal: new AbortController().signal,
  onStep: () => undefined,
});
