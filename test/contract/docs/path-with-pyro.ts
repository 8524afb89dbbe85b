/** Lets a document's `pyro` be the one that was just built. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** A PATH whose first directory, made below `folder`, has a `pyro` that starts dist/bin.cjs of the checkout. */
export function pathWithPyro(folder: string): string {
  const directory = join(folder, "bin");
  mkdirSync(directory, { recursive: true });
  const program = `#!/bin/sh\nexec "${process.execPath}" "${resolve("dist/bin.cjs")}" "$@"\n`;
  writeFileSync(join(directory, "pyro"), program, { mode: 0o755 });
  return `${directory}:${process.env["PATH"] ?? ""}`;
}
