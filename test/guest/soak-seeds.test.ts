/** A seed of very many small files: as many as the suite takes time for, and a million in `npm run soak`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { client } from "../support/guest-host.ts";
import { soaking } from "../support/random-kills.ts";
import { CaseWorkspace } from "../support/case-workspace.ts";

const FILES = soaking ? 1_000_000 : 50_000;
const FILES_IN_ONE = 500;

const pyro = client();
const source = mkdtempSync(join(tmpdir(), "pyro-many-"));
after(() => execFileSync("rm", ["-rf", source]));

test("seeds: very many small files arrive, every one", async (t) => {
  const make = `my ($root, $count, $each) = @ARGV;
    for my $n (0..$count - 1) {
      my $d = "$root/d" . int($n / $each);
      mkdir $d if $n % $each == 0;
      open my $f, ">", "$d/f$n" or die "$d: $!";
      print $f $n;
    }`;
  execFileSync("perl", ["-e", make, source, String(FILES), String(FILES_IN_ONE)]);
  const begin = performance.now();
  const made = await pyro.workspace.create({ environment: "debian:12", seed_path: source });
  t.diagnostic(`${FILES} files in ${Math.round(performance.now() - begin)} ms`);
  const it = new CaseWorkspace(pyro, made.workspace_id, source);
  const { workspace_seed: seed } = await pyro.workspace.status({ workspace: it.id });
  assert.equal(seed.entry_count, FILES + FILES / FILES_IN_ONE);
  const last = FILES - 1;
  assert.equal(
    await it.sh(`cat d${Math.floor(last / FILES_IN_ONE)}/f${last}; find . -type f | wc -l`),
    `${last}${FILES}\n`,
  );
  await pyro.workspace.delete({ workspace: it.id, force: true, purge: true });
  await pyro.env.prune();
});
