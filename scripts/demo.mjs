/** `npm run demo`: from a fresh clone to a command answered by a real guest, installing what is missing on the way. */
import { join } from "node:path";
import { build } from "./build.mjs";
import { run } from "./command.mjs";
import { DIST } from "./project.mjs";
import { setUp } from "./setup/setup.mjs";
import { runEntry } from "./terminal.mjs";

await runEntry(async (words) => {
  await setUp(["build", "run", "pull"]);
  await build();
  return await run(process.execPath, [join(DIST, "bin.cjs"), "demo", ...words], { stdin: "inherit" });
});
