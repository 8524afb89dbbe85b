/** dist/types: the declarations of the public SDK and of what they refer to. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { runChecked } from "../command.mjs";
import { DIST, inProject, tool } from "../project.mjs";
import { onChange } from "./fingerprint.mjs";

export async function buildDeclarations() {
  const inputs = ["src", "tsconfig.json", "scripts/build/tsconfig.json", "package-lock.json"];
  return await onChange("declarations", { inputs, outputs: [join(DIST, "types", "index.d.ts")] }, async () => {
    rmSync(join(DIST, "types"), { recursive: true, force: true });
    await runChecked(tool("tsc"), ["--project", inProject("scripts", "build", "tsconfig.json")]);
  });
}
