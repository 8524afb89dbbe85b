/**
 * `npm run soak`: the tests whose number decides what they find, with more of it than the suite takes time for.
 * `npm run soak -- 500` for another number, `npm run soak -- soak-seeds` for the files with that in their path alone;
 * `PYRO_SOAK_SEED` for the moments of an earlier run.
 */
import { build } from "./build.mjs";
import { setUp } from "./setup/setup.mjs";
import { runStages } from "./suite/run-stages.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { select } from "./suite/stages.mjs";
import { Tally } from "./suite/tally.mjs";
import { allTestFiles } from "./suite/test-files.mjs";
import { Refusal, runEntry, say } from "./terminal.mjs";

const KILLS = "100";
/** The files that do more in a soak have one of these in their path. */
const SOAKED = ["random-kills", "soak-"];
/** For each stage. A kill takes about two seconds here, and ten in the nested machine. */
const TIMEOUT_SECONDS = 4 * 3600;

await runEntry(async (words) => {
  const isCount = /^[1-9]\d{0,5}$/.test(words[0] ?? "");
  const [count, ...files] = isCount ? words : [KILLS, ...words];
  const known = allTestFiles().filter((path) => SOAKED.some((word) => path.includes(word)));
  if (files.some((word) => !known.some((path) => path.includes(word))))
    throw new Refusal(`not understood: ${words.join(" ")}`, "npm run soak [-- 500] [soak-seeds]");
  process.env.PYRO_SOAK_KILLS = count;
  process.env.PYRO_SOAK_SEED ??= String(Date.now() % 2 ** 31);
  say("soak", `PYRO_SOAK_KILLS=${count} PYRO_SOAK_SEED=${process.env.PYRO_SOAK_SEED}`);
  await setUp(["build", "lint", "run", "pull", "test"]);
  await build();
  const { stages, only } = select(files.length > 0 ? files : SOAKED, known);
  const patient = stages.map((stage) =>
    stage.timeoutSeconds === undefined ? stage : { ...stage, timeoutSeconds: TIMEOUT_SECONDS },
  );
  const tally = new Tally();
  const sandbox = makeSandbox();
  await runStages(patient, { only, sandbox, tally });
  sandbox.remove();
  process.stdout.write(`${tally.summary()}\n`);
  return tally.failures.length === 0 ? 0 : 1;
});
