/** The server's process: what the launcher starts. */
import { join } from "node:path";
import { BUILD_VERSION } from "./contract/version.ts";
import { loadProgram } from "./host/compiled-program.ts";
import { compilationsDirectory } from "./host/paths.ts";
import type * as Server from "./server/main.ts";

/** The bundled program's file beside this one; absent when the sources run unbundled. */
declare const PYRO_PROGRAM: string | undefined;

void serve();

async function serve(): Promise<void> {
  if (typeof PYRO_PROGRAM !== "string") {
    const { runServer } = await import("./server/main.ts");
    return await runServer(() => undefined);
  }
  const key = { use: "serve", build: BUILD_VERSION };
  const { exports, keep } = loadProgram<typeof Server>(join(__dirname, PYRO_PROGRAM), compilationsDirectory(), key);
  await exports.runServer(keep);
}
