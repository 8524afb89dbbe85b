/**
 * VMMs, their monitors, servers and clients killed at random moments of what brings files in and out: the workspace's tree and the host's
 * target are the old one or the new one, and nothing is left beside either.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { paths, until } from "./guest-host.ts";
import { generator, nothingIsLeft, type RandomKills, VICTIMS } from "./random-kills.ts";
import { changed, startAfterKill } from "./random-workspace-kills.ts";
import { CaseWorkspace } from "./case-workspace.ts";
import { LOOK, lookAt } from "./trees.ts";

const NAME = "files";
/** Enough that reading, staging, renaming and writing all take their time. */
const FILES = 200;
const LARGE_BYTES = 4 * 1024 ** 2;
const MISSES_MAX = 3;
const CLEAN_WITHIN_MS = 30_000;

interface Scene {
  readonly pyro: Pyro;
  readonly workspace: CaseWorkspace;
  readonly host: string;
}

/** A change, and the two states that one may find after it: what `look` says before, and when nobody was killed. */
interface Copy {
  readonly words: (host: string) => readonly string[];
  readonly look: (scene: Scene) => Promise<string>;
}

const inGuest = async ({ workspace }: Scene): Promise<string> => await workspace.sh(`cd tree && ${LOOK}`);

const COPIES: Readonly<Record<string, Copy>> = {
  "sync push": {
    words: (host) => ["sync", "push", NAME, join(host, "pushed"), "--dest", "tree"],
    look: inGuest,
  },
  export: {
    words: (host) => ["export", NAME, "other", "--output", join(host, "out", "target"), "--overwrite"],
    look: async ({ host }) => await Promise.resolve(lookAt(join(host, "out", "target"))),
  },
  "file write": {
    words: (host) => ["file", "write", NAME, "tree/f1", "--text-file", join(host, "pushed", "f2")],
    // When it is written is no matter.
    look: async ({ workspace }) => await workspace.sh("cd tree && find . -type f -exec sha256sum {} + | sort"),
  },
};

/** Kills so many, one in each round, and then looks for what is left. */
export async function killCopiesAtRandom({ pyro, count, seed, memoryMib, onKill }: RandomKills): Promise<void> {
  const random = generator(seed);
  const host = mkdtempSync(join(tmpdir(), "pyro-kills-"));
  try {
    fill(join(host, "seed", "tree"), "old");
    fill(join(host, "seed", "other"), "exported");
    fill(join(host, "pushed"), "new");
    const made = await pyro.workspace.create({
      environment: "debian:12",
      name: NAME,
      mem_mib: memoryMib,
      seed_path: join(host, "seed"),
    });
    const scene: Scene = { pyro, host, workspace: new CaseWorkspace(pyro, made.workspace_id, host) };
    const names = Object.keys(COPIES);
    const known = new Map<string, { ms: number; after: string }>();
    let killed = 0;
    for (let round = 0; killed < count; round += 1) {
      assert.ok(round < (count + names.length) * (MISSES_MAX + 1), `after ${round} rounds only ${killed} were killed`);
      const name = names[round % names.length] ?? "";
      const copy = COPIES[name] ?? assert.fail();
      const before = await prepared(scene, copy);
      const usual = known.get(name);
      const victim = usual === undefined ? undefined : (VICTIMS[Math.floor(random() * VICTIMS.length)] ?? "VMM");
      const afterMs = Math.floor(random() * (usual?.ms ?? 0));
      const begin = performance.now();
      const { how, hit } = await changed(pyro, copy.words(host), { victim, afterMs, random });
      const ms = performance.now() - begin;
      if (hit) killed += 1;
      await startAfterKill(pyro, NAME);
      const now = await copy.look(scene);
      if (usual === undefined) {
        assert.notEqual(now, before, `${name} changes something`);
        known.set(name, { ms, after: now });
      }
      const after = usual?.after ?? now;
      if (now !== before && now !== after) {
        const other = new Set([...before.split("\n"), ...after.split("\n")]);
        const odd = now.split("\n").filter((line) => !other.has(line));
        assert.fail(
          `${name}, ${victim} killed after ${afterMs} ms: a part is there, neither old nor new:\n${odd.join("\n")}`,
        );
      }
      if (how === "done") assert.ok(now === after, `${name}: it was done`);
      await nothingBeside(scene);
      onKill(
        `${name}: ${hit ? `killed ${victim} after ${afterMs} ms: ` : ""}${how}; ${now === before ? "old" : "new"}`,
      );
    }
    await pyro.workspace.delete({ workspace: NAME, force: true, purge: true });
    await pyro.env.prune();
    await nothingIsLeft(pyro);
  } finally {
    rmSync(host, { recursive: true });
  }
}

function fill(directory: string, content: string): void {
  mkdirSync(join(directory, "sub", content), { recursive: true });
  for (let number = 0; number < FILES; number += 1) {
    writeFileSync(join(directory, number % 2 === 0 ? "" : "sub", `f${number}`), `${content} ${number}\n`);
  }
  writeFileSync(join(directory, "f1"), `${content}\n`);
  writeFileSync(join(directory, "large"), Buffer.alloc(LARGE_BYTES, content));
}

/** Brings both sides back to what they were; how it looks. */
async function prepared(scene: Scene, { look }: Copy): Promise<string> {
  const { workspace, host } = scene;
  await workspace.sh("test -e .old || mv tree .old; rm -rf tree; cp -a .old tree; sync");
  rmSync(join(host, "out"), { recursive: true, force: true });
  fill(join(host, "out", "target"), "there before");
  return await look(scene);
}

/** A killed server's work is put right by the next one, beside what is asked of it. */
async function nothingBeside({ workspace, host }: Scene): Promise<void> {
  assert.equal(await workspace.sh("ls -A"), ".old\nother\ntree\n");
  await until(() => readdirSync(join(host, "out")).join() === "target", CLEAN_WITHIN_MS, "only the target is there");
  const copying = join(paths.state, "copying");
  await until(() => readdirSync(copying).length === 0, CLEAN_WITHIN_MS, "nothing is left of copies");
}
