/** Figures of files that go into a workspace and come out of it. */
import { randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import type { Pyro } from "../src/sdk/pyro.ts";
import { type Figure, measured, type Measurement, paired, timed } from "./figures.ts";

const SAMPLES = 3;
const MIB = 1024 ** 2;
const LARGE_BYTES = 1024 * MIB;
const FILES = 5000;
const FILE_BYTES = 2048;

/** A rate of a half is twice the time. */
const EXPORT: Figure = {
  name: "export of 1 GiB in one file",
  baseline: "1 GiB of a command's output, taken and dropped",
  mustReach: 2,
  aim: 1.25,
  largerIsBetter: false,
  unit: "ms",
};
const SYNC: Figure = {
  name: "sync push of 1 GiB in one file",
  baseline: "1 GiB into a command's input, read and dropped",
  mustReach: 2,
  aim: 1.25,
  largerIsBetter: false,
  unit: "ms",
};
const SYNC_MANY: Figure = {
  name: "sync push of 5,000 files of 2 KiB",
  baseline: "the same bytes in one file",
  mustReach: 10,
  aim: 3,
  largerIsBetter: false,
  unit: "ms",
};

/** In a workspace that is started, and is left with what was put there. */
export async function measureCopies(pyro: Pyro, workspace: string): Promise<Measurement[]> {
  const directory = mkdtempSync(join(tmpdir(), "pyro-bench-"));
  try {
    const [large, many, one] = ["large", "many", "one"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    for (const each of [large, many, one]) mkdirSync(each);
    for (let part = 0; part < LARGE_BYTES / (64 * MIB); part += 1)
      writeFileSync(join(large, "file"), randomBytes(64 * MIB), { flag: "a" });
    for (let file = 0; file < FILES; file += 1) writeFileSync(join(many, `f${file}`), randomBytes(FILE_BYTES));
    writeFileSync(join(one, "file"), randomBytes(FILES * FILE_BYTES));
    let count = 0;
    const push = async (source: string, dest?: string): Promise<number> => {
      count += 1;
      const into = dest ?? `in/${count}`;
      return await timed(async () => await pyro.workspace.sync.push({ workspace, source_path: source, dest: into }));
    };
    const sync = await paired(
      SAMPLES,
      async () => await push(large, "large"),
      async () => {
        const stdin = createReadStream(join(large, "file"));
        const command = ["sh", "-c", "cat > /dev/null"];
        return await timed(
          async () => await pyro.workspace.exec({ workspace, command, timeout_seconds: 600 }, { stdin }),
        );
      },
    );
    const out = await paired(
      SAMPLES,
      async () => {
        count += 1;
        const output = { path: ["large/file"], output_path: join(directory, "out"), overwrite: true };
        return await timed(async () => await pyro.workspace.export({ workspace, ...output }));
      },
      async () => {
        const command = ["head", "-c", String(LARGE_BYTES), "/dev/zero"];
        const stdout = new Writable({ write: (_piece, _encoding, done) => done() });
        return await timed(
          async () => await pyro.workspace.exec({ workspace, command, timeout_seconds: 600 }, { stdout }),
        );
      },
    );
    const small = await paired(
      SAMPLES,
      async () => await push(many),
      async () => await push(one),
    );
    return [
      measured(EXPORT, out.ours, out.baseline),
      measured(SYNC, sync.ours, sync.baseline),
      measured(SYNC_MANY, small.ours, small.baseline),
    ];
  } finally {
    rmSync(directory, { recursive: true });
  }
}
