/** A seed of very many small files: as many as the suite takes time for, and a million in `npm run soak`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { CreateEvent, WorkspaceSummary } from "../../src/contract/workspace.ts";
import { client } from "../support/guest-host.ts";
import { soaking } from "../support/random-kills.ts";
import { CaseWorkspace } from "../support/case-workspace.ts";

const FILES = soaking ? 1_000_000 : 50_000;
const FILES_IN_ONE = 500;

type SeedEvent = Extract<CreateEvent, { type: "seed" }>;
type Total = WorkspaceSummary["workspace_seed"];

const pyro = client();
const source = mkdtempSync(join(tmpdir(), "pyro-many-"));
after(() => execFileSync("rm", ["-rf", source]));

/** Whoever waits is told of files and bytes, of all of them, in each phase that takes long. */
function assertProgress(told: readonly SeedEvent[], { entry_count: entries, bytes_written: bytes }: Total): void {
  for (const wanted of ["fill", "compare"] as const) {
    const steps = told.filter(({ phase }) => phase === wanted);
    assert.ok(steps.length > 1, `${wanted} was told ${steps.length} times`);
    for (const [index, step] of steps.entries()) {
      const before = steps[index - 1] ?? { entries: 0, bytes: 0 };
      assert.ok(step.entries >= before.entries && step.bytes >= before.bytes && step.entries <= entries, wanted);
    }
    assert.ok((steps.at(-1)?.entries ?? 0) > entries / 2, `${wanted} was last told at ${steps.at(-1)?.entries}`);
  }
  assert.ok(told.some(({ phase, entries: count }) => phase === "read" && count > 0));
  assert.deepEqual(told.at(-1), { type: "seed", phase: "sprout", entries, bytes });
}

test("seeds: very many small files arrive, every one, and how far that is, in files and bytes, is told", async (t) => {
  const make = `my ($root, $count, $each) = @ARGV;
    for my $n (0..$count - 1) {
      my $d = "$root/d" . int($n / $each);
      mkdir $d if $n % $each == 0;
      open my $f, ">", "$d/f$n" or die "$d: $!";
      print $f $n;
    }`;
  execFileSync("perl", ["-e", make, source, String(FILES), String(FILES_IN_ONE)]);
  const begin = performance.now();
  const told: SeedEvent[] = [];
  const onEvent = (event: CreateEvent): void => {
    if (event.type === "seed") told.push(event);
  };
  const made = await pyro.workspace.create({ environment: "debian:12", seed_path: source }, { onEvent });
  t.diagnostic(`${FILES} files in ${Math.round(performance.now() - begin)} ms`);
  const it = new CaseWorkspace(pyro, made.workspace_id, source);
  const { workspace_seed: seed } = await pyro.workspace.status({ workspace: it.id });
  assert.equal(seed.entry_count, FILES + FILES / FILES_IN_ONE);
  assertProgress(told, seed);
  const last = FILES - 1;
  assert.equal(
    await it.sh(`cat d${Math.floor(last / FILES_IN_ONE)}/f${last}; find . -type f | wc -l`),
    `${last}${FILES}\n`,
  );
  await pyro.workspace.delete({ workspace: it.id, force: true, purge: true });
  await pyro.env.prune();
});
