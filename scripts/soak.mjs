/**
 * `npm run soak`: the tests whose number decides what they find, with more of it than the suite takes time for.
 * `npm run soak -- 500` for another number, `npm run soak -- soak-seeds` for the files with that in their path alone, `npm run soak --
 * patch-trees` for the agent's patches of random trees; `PYRO_SOAK_SEED` for the moments of an earlier run.
 */
import { build } from "./build.mjs";
import { setUp } from "./setup/setup.mjs";
import { runCargoTestsCalled } from "./suite/cargo-tests.mjs";
import { runStages } from "./suite/run-stages.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { select } from "./suite/stages.mjs";
import { Tally } from "./suite/tally.mjs";
import { allTestFiles } from "./suite/test-files.mjs";
import { Refusal, runEntry, say } from "./terminal.mjs";

const KILLS = "100";
/** The files that do more in a soak have one of these in their path. */
const SOAKED = ["random-kills", "soak-"];
/** The agent's tests of patches that make as many random trees as `PYRO_PATCH_TREES` says, and the word that selects them. */
const PATCH_TREES = {
  word: "patch-trees",
  count: "500",
  tests: [
    "a_patch_of_random_edits_gives_the_edited_tree_and_its_reverse_the_first",
    "patch::tests::a_diff_of_random_edits_gives_the_edited_tree_and_its_reverse_the_first",
  ],
};
/** For each stage. A kill takes about two seconds here, and ten in the nested machine. */
const TIMEOUT_SECONDS = 4 * 3600;

await runEntry(async (words) => {
  const isCount = /^[1-9]\d{0,5}$/.test(words[0] ?? "");
  const [count, ...asked] = isCount ? words : [KILLS, ...words];
  const files = asked.filter((word) => word !== PATCH_TREES.word);
  const withTrees = asked.length === 0 || files.length < asked.length;
  const withFiles = asked.length === 0 || files.length > 0;
  const known = allTestFiles().filter((path) => SOAKED.some((word) => path.includes(word)));
  if (files.some((word) => !known.some((path) => path.includes(word))))
    throw new Refusal(`not understood: ${words.join(" ")}`, "npm run soak [-- 500] [soak-seeds] [patch-trees]");
  process.env.PYRO_SOAK_KILLS = count;
  process.env.PYRO_SOAK_SEED ??= String(Date.now() % 2 ** 31);
  process.env.PYRO_PATCH_TREES ??= PATCH_TREES.count;
  for (const name of ["PYRO_SOAK_KILLS", "PYRO_SOAK_SEED", "PYRO_PATCH_TREES"])
    say("soak", `${name}=${process.env[name]}`);
  await setUp(["build", "lint", "run", "pull", "test"]);
  await build();
  const tally = new Tally();
  if (withTrees) await runCargoTestsCalled(PATCH_TREES.tests, PATCH_TREES.word, tally);
  if (withFiles) await soakFiles(files, known, tally);
  process.stdout.write(`${tally.summary()}\n`);
  return tally.failures.length === 0 ? 0 : 1;
});

/** Runs the test files that the words select; all of them when there are none. */
async function soakFiles(files, known, tally) {
  const { stages, only } = select(files.length > 0 ? files : SOAKED, known);
  const patient = stages.map((stage) =>
    stage.timeoutSeconds === undefined ? stage : { ...stage, timeoutSeconds: TIMEOUT_SECONDS },
  );
  const sandbox = makeSandbox();
  await runStages(patient, { only, sandbox, tally });
  sandbox.remove();
}
