/** `npm run check`: what can be said in half a minute, without a guest. Run it before every commit. */
import { setUp } from "./setup/setup.mjs";
import { runStages } from "./suite/run-stages.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { STAGES } from "./suite/stages.mjs";
import { Tally } from "./suite/tally.mjs";
import { runEntry } from "./terminal.mjs";

await runEntry(async () => {
  await setUp([]);
  const tally = new Tally();
  const sandbox = makeSandbox();
  await runStages(
    STAGES.filter(({ fast }) => fast === true),
    { only: undefined, sandbox, tally },
  );
  sandbox.remove();
  process.stdout.write(`${tally.summary()}\n`);
  return tally.failures.length === 0 ? 0 : 1;
});
