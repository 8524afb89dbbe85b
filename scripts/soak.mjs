/**
 * `npm run soak`: the tests whose number decides what they find, with more of it than the suite takes time for.
 * `npm run soak -- 500` for another number.
 */
import { run } from "./command.mjs";
import { inProject } from "./project.mjs";
import { Refusal, runEntry } from "./terminal.mjs";

const KILLS = 100;

await runEntry(async (words) => {
  const [count = String(KILLS)] = words;
  if (words.length > 1 || !/^[1-9]\d{0,5}$/.test(count))
    throw new Refusal(`not understood: ${words.join(" ")}`, "npm run soak -- 500");
  const seed = process.env.PYRO_SOAK_SEED ?? String(Date.now() % 2 ** 31);
  process.stdout.write(`[soak] PYRO_SOAK_KILLS=${count} PYRO_SOAK_SEED=${seed}\n`);
  const env = { PYRO_SOAK_KILLS: count, PYRO_SOAK_SEED: seed };
  return await run(process.execPath, [inProject("scripts", "test.mjs"), "random-kills"], { env });
});
