/**
 * VMMs, their monitors, servers and clients killed at random moments of what changes a workspace: afterwards `status` and `start`
 * work, the tree is as it was or as it was to be, and no process is left that nobody knows.
 */
import assert from "node:assert/strict";
import { PyroError } from "../../src/contract/error.ts";
import { TTL_SECONDS_DEFAULT } from "../../src/contract/limits.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { CliProcess } from "./cli-process.ts";
import {
  EXPECTED,
  generator,
  killLater,
  nothingIsLeft,
  type RandomKills,
  type Victim,
  VICTIMS,
} from "./random-kills.ts";
import { exists, sh } from "./workspace-by-name.ts";

const ENVIRONMENT = "debian:12";
const NAME = "victim";
const NEW = "victim-new";
/** What a call may say as well: the machine was gone before it began, or the name was. */
const ALSO_EXPECTED = new Set(["invalid_state", "not_found"]);
/** Rounds in which nobody was there to be killed, as a share of the kills. */
const MISSES_MAX = 3;

/** How a round finds the workspace's tree afterwards: as the last write left it, or as the snapshot has it. */
type Tree = "written" | "kept";

interface Change {
  readonly words: readonly string[];
  /** It begins with a stopped workspace. */
  readonly stopped?: boolean;
  readonly trees: readonly Tree[];
}

/** In turn, so that the shortest soak has them all. */
const CHANGES: Readonly<Record<string, Change>> = {
  "snapshot create": { words: ["snapshot", "create", NAME, "next"], trees: ["written"] },
  reset: { words: ["reset", NAME, "--snapshot", "kept"], trees: ["written", "kept"] },
  stop: { words: ["stop", NAME], trees: ["written"] },
  start: { words: ["start", NAME], stopped: true, trees: ["written"] },
  delete: { words: ["delete", NAME, "--force"], trees: ["written"] },
  create: { words: ["create", ENVIRONMENT, "--name", NEW], trees: ["written"] },
};

/** Kills so many, one in each round, and then looks for what is left. */
export async function killWorkspacesAtRandom({ pyro, count, seed, memoryMib, onKill }: RandomKills): Promise<void> {
  const random = generator(seed);
  const memory = { mem_mib: memoryMib };
  await pyro.workspace.create({ environment: ENVIRONMENT, name: NAME, ...memory });
  await sh(pyro, NAME, "echo kept > tree; seq 10000 > numbers");
  await pyro.workspace.snapshot.create({ workspace: NAME, snapshot: "kept" });
  const names = Object.keys(CHANGES);
  const usualMs = new Map<string, number>();
  let killed = 0;
  for (let round = 0; killed < count; round += 1) {
    assert.ok(round < (count + names.length) * (MISSES_MAX + 1), `after ${round} rounds only ${killed} were killed`);
    const name = names[round % names.length] ?? "";
    const change = CHANGES[name] ?? assert.fail();
    await prepare(pyro, change, round);
    const known = usualMs.get(name);
    const victim = known === undefined ? undefined : (VICTIMS[Math.floor(random() * VICTIMS.length)] ?? "VMM");
    const afterMs = Math.floor(random() * (known ?? 0));
    const begin = performance.now();
    const words = name === "create" ? [...change.words, "--mem-mib", String(memoryMib)] : change.words;
    const { how, hit } = await changed(pyro, words, { victim, afterMs, random });
    // The first of each kind is not disturbed, and says how long it takes.
    if (known === undefined) usualMs.set(name, performance.now() - begin);
    if (hit) killed += 1;
    const found = await check(pyro, change, { round, name, memory });
    onKill(`${name}: ${hit ? `killed ${victim} after ${afterMs} ms: ` : ""}${how}; ${found}`);
  }
  await pyro.workspace.delete({ workspace: NAME, force: true, purge: true });
  await nothingIsLeft(pyro);
}

/** A tree that is on the disk, for the round to find again. */
async function prepare(pyro: Pyro, { stopped = false }: Change, round: number): Promise<void> {
  await sh(pyro, NAME, `echo ${round} > tree; head -c 100000 /dev/urandom > random; sha256sum < random > sum`);
  await dropSnapshot(pyro, "next");
  await pyro.workspace.snapshot.create({ workspace: NAME, snapshot: "before" });
  await pyro.workspace.snapshot.delete({ workspace: NAME, snapshot: "before" });
  if (stopped) await pyro.workspace.stop({ workspace: NAME });
}

export interface Shot {
  readonly victim: Victim | undefined;
  readonly afterMs: number;
  readonly random: () => number;
}

/** Has the client make the change, with a kill in the middle; how the call ended. */
export async function changed(
  pyro: Pyro,
  words: readonly string[],
  { victim, afterMs, random }: Shot,
): Promise<{ how: string; hit: boolean }> {
  using client = new CliProcess(["workspace", ...words, "--json"]);
  const shot = victim === undefined ? undefined : killLater(victim, afterMs, { pyro, client, random });
  const end = await client.end();
  const hit = (await shot?.()) ?? false;
  if (end.signal === "SIGKILL" && victim === "client") return { how: "killed", hit };
  if (end.code === 0) return { how: "done", hit };
  const said = `exit ${end.code}: ${end.stdout.toString()}${end.stderr}`;
  assert.ok(hit, said);
  const { error } = JSON.parse(end.stdout.toString()) as { error: { code: string } };
  assert.ok(EXPECTED.has(error.code) || ALSO_EXPECTED.has(error.code), said);
  return { how: error.code, hit };
}

interface Round {
  readonly round: number;
  readonly name: string;
  readonly memory: { readonly mem_mib: number };
}

async function check(pyro: Pyro, { trees }: Change, { round, name, memory }: Round): Promise<string> {
  if (name === "create") await checkNew(pyro, memory);
  const isDeleted = name === "delete" ? await wasDeleted(pyro) : !(await exists(pyro, NAME));
  assert.ok(!isDeleted || name === "delete", "the workspace is gone");
  if (isDeleted) await pyro.workspace.restore({ workspace: NAME });
  const { state, stopped } = await pyro.workspace.status({ workspace: NAME });
  if (state === "stopped") assert.ok(stopped !== null && stopped.message !== "", "it says why it is stopped");
  await startAfterKill(pyro, NAME);
  const content = (await sh(pyro, NAME, "cat tree")).trim();
  const tree: Tree = content === "kept" ? "kept" : "written";
  assert.ok(
    trees.includes(tree) && (tree === "kept" || content === String(round)),
    `round ${round}: the tree is ${content}`,
  );
  if (tree === "written") await sh(pyro, NAME, 'test "$(sha256sum < random)" = "$(cat sum)"');
  else assert.equal(await sh(pyro, NAME, "ls -A"), "numbers\ntree\n");
  assert.equal(await sh(pyro, NAME, "tail -n 1 numbers"), "10000\n");
  const { snapshots } = await pyro.workspace.snapshot.list({ workspace: NAME });
  const has = snapshots.map(({ snapshot_name: each }) => each).filter((each) => each !== "next");
  assert.deepEqual(has, ["baseline", "kept"]);
  return `${isDeleted ? "deleted" : state}, ${tree}`;
}

/** What a killed client asked for may go on in the server: a change of the record waits for its turn behind that. */
async function wasDeleted(pyro: Pyro): Promise<boolean> {
  try {
    await pyro.workspace.update({ workspace: NAME, ttl_seconds: TTL_SECONDS_DEFAULT });
    return false;
  } catch (failure) {
    if (PyroError.is(failure) && failure.code === "not_found") return true;
    throw failure;
  }
}

/** One that was being made is there and works, or is not there at all, and its name is free at once. */
async function checkNew(pyro: Pyro, memory: { readonly mem_mib: number }): Promise<void> {
  if (await exists(pyro, NEW)) await startAfterKill(pyro, NEW);
  else await pyro.workspace.create({ environment: ENVIRONMENT, name: NEW, ...memory });
  assert.equal(await sh(pyro, NEW, "ls -A"), "");
  await pyro.workspace.delete({ workspace: NEW, force: true, purge: true });
}

/** A kill in the last moment of a call may be noticed by the next one only, which it fails: once. */
export async function startAfterKill(pyro: Pyro, workspace: string): Promise<void> {
  await pyro.workspace.start({ workspace });
  try {
    await sh(pyro, workspace, "true");
  } catch (failure) {
    // Or between the two, and then the second is told that there is none.
    const codes = [...EXPECTED, "invalid_state"];
    if (!PyroError.is(failure) || !codes.includes(failure.code)) throw failure;
    await pyro.workspace.start({ workspace });
  }
}

async function dropSnapshot(pyro: Pyro, snapshot: string): Promise<void> {
  const { snapshots } = await pyro.workspace.snapshot.list({ workspace: NAME });
  if (snapshots.some(({ snapshot_name: name }) => name === snapshot))
    await pyro.workspace.snapshot.delete({ workspace: NAME, snapshot });
}
