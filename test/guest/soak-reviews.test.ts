/**
 * This project's own repository, changed in a workspace by ordinary tools: the patch and the branch that come out give its tree. A few
 * edits at random in the suite, five hundred in `npm run soak`, and after each one the patch.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { client } from "../support/guest-host.ts";
import { git, Review } from "../support/own-repository.ts";
import { killsOfSuite, soaking } from "../support/random-kills.ts";
import { RANDOM_EDIT } from "../support/random-edits.ts";

const EDITS = soaking ? 500 : 40;
/** In the suite there is a patch after so many edits. */
const EDITS_IN_ONE = soaking ? 1 : 20;
/** So often a branch is pulled. */
const BATCHES_IN_ONE_PULL = soaking ? 50 : 2;

const pyro = client();
const root = mkdtempSync(join(tmpdir(), "pyro-reviews-"));
after(() => rmSync(root, { recursive: true }));

const directory = (name: string): string => mkdtempSync(join(root, `${name}-`));

/** Each line is one way of changing a tree. */
const TWENTY_WAYS = `set -e
sed -i 's/pyro/PYRO/g' README.md
sed -i '1,20d' ARCHITECTURE.md
mv AGENTS.md 'agents and more.md'
mv CONTRIBUTING.md docs/contributing.md; sed -i '3s/.*/renamed and edited/' docs/contributing.md
chmod +x package.json
chmod -x .ci/run
rm LICENSE
rm -r docs/decisions
ln -s ../README.md docs/new-link
ln -sfn nowhere/at/all docs/link
printf 'no newline at the end' > no-newline; truncate -s -1 SECURITY.md
dd if=/dev/urandom of=docs/binary bs=100 seek=20 count=5 conv=notrunc status=none
head -c 300000 /dev/urandom > new-binary
touch tsconfig.json
mkdir empty
sed -i 's/$/\\r/' rustfmt.toml
printf odd > "$(printf 'new\\nline \\377 "quoted" \\\\ \\t')"; printf x > ' -lead and trail '
: > clippy.toml
echo '// appended' >> src/index.ts
rm SPECIFICATION.md; mkdir SPECIFICATION.md; echo inner > SPECIFICATION.md/inner
rm -r launcher/src; echo 'a file now' > launcher/src
seq 1000000 > large
mv agent/src guest-agent
git add --all && git -c user.name=agent -c user.email=agent@guest commit --quiet -m 'What was done so far'
echo 'after the commit' >> CHANGELOG.md; git mv knip.json knip-moved.json`;

test("reviews: this project's repository, changed in twenty ways by ordinary tools, comes out as a patch and as a branch", async () => {
  const review = await Review.begin(pyro, directory("ways"));
  const { workspace, base, applied } = review;
  await workspace.sh(TWENTY_WAYS);
  await review.reviewPatch("twenty ways");
  await review.reviewBranch("agent/ways");
  assert.equal(git(applied, "log", "--format=%s", `${base}..agent/ways`).split("\n").at(-1), "What was done so far");
  const { entries, summary } = await pyro.workspace.diff({ workspace: workspace.id, name_only: true });
  assert.deepEqual(
    entries.filter(({ not_in_patch: lost }) => lost.length > 0).map(({ path }) => path),
    ["empty"],
    "what git cannot have is told of",
  );
  assert.ok(summary.total > 40 && summary.renamed >= 2, JSON.stringify(summary));
  assert.ok(!entries.some(({ path }) => path === "tsconfig.json" || path.startsWith(".git/")));
  // One back, and the patch is that of what is left.
  await workspace.sh(`git checkout --quiet ${base} -- LICENSE README.md`);
  await review.reviewPatch("with two taken back");
  await review.end();
});

test("reviews: after edits at random the patch gives the workspace's tree, and so does the branch", async (t) => {
  const { seed } = killsOfSuite(0);
  const review = await Review.begin(pyro, directory("random"));
  const { workspace } = review;
  const batches = EDITS / EDITS_IN_ONE;
  for (let batch = 1; batch <= batches; batch += 1) {
    const edit = ["perl", "-e", RANDOM_EDIT, String(seed + batch), String(EDITS_IN_ONE)];
    const { exit_code: code, stdout, stderr } = await pyro.workspace.exec({ workspace: workspace.id, command: edit });
    assert.deepEqual([code, stderr], [0, ""]);
    if (batch % BATCHES_IN_ONE_PULL === 1)
      t.diagnostic(`seed ${seed + batch}: ${stdout.trim().split("\n").join(", ")}`);
    await review.reviewPatch(`seed ${seed}, batch ${batch}: ${stdout}`);
    if (batch % BATCHES_IN_ONE_PULL === 0) await review.reviewBranch(`agent/${batch}`);
  }
  await review.end();
});
