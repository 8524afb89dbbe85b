/**
 * `npm run build`: makes dist/, the whole of what is shipped. Each part is skipped when nothing it is made of changed.
 */
import { pathToFileURL } from "node:url";
import { buildBundles } from "./build/bundles.mjs";
import { buildDeclarations } from "./build/declarations.mjs";
import { buildPrograms } from "./build/programs.mjs";
import { setUp } from "./setup/setup.mjs";
import { runEntry, say, seconds } from "./terminal.mjs";

const PARTS = [
  { name: "guest agent and host programs (cargo)", build: buildPrograms },
  { name: "bundles (esbuild)", build: buildBundles },
  { name: "declarations (tsc)", build: buildDeclarations },
];

export async function build() {
  for (const part of PARTS) {
    const start = performance.now();
    const outcome = await part.build();
    say("build", `${part.name}: ${outcome} (${seconds(performance.now() - start)})`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runEntry(async () => {
    await setUp(["build"]);
    await build();
  });
}
