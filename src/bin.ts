#!/usr/bin/env node
import { join } from "node:path";
import { BUILD_VERSION, VERSION } from "./contract/version.ts";
import { loadProgram } from "./host/compiled-program.ts";
import { compilationsDirectory } from "./host/paths.ts";
import type * as Program from "./program.ts";

/** The bundled program's file beside this one; absent when the sources run unbundled. */
declare const PYRO_PROGRAM: string | undefined;

const words = process.argv.slice(2);
// Asked often, by scripts: answered before anything else is loaded.
if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) process.stdout.write(`pyro ${VERSION}\n`);
else void loaded().then(async ({ program }) => await program(words));

async function loaded(): Promise<typeof Program> {
  if (typeof PYRO_PROGRAM !== "string") return await import("./program.ts");
  const command = words.find((word) => /^[a-z]+$/.test(word)) ?? "pyro";
  const key = { use: command, build: BUILD_VERSION };
  const { exports, keep } = loadProgram<typeof Program>(join(__dirname, PYRO_PROGRAM), compilationsDirectory(), key);
  // Of a command that there is not, nothing is kept.
  process.on("exit", (status) => status === 0 && keep());
  return exports;
}
