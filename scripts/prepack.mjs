/** Runs before `npm pack` and `npm publish`: refuses to pack a dist/ that would not work on another machine. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BUNDLES } from "./build/bundles.mjs";
import { whyNotStatic } from "./build/elf.mjs";
import { missingOrAltered, PROGRAMS } from "./build/programs.mjs";
import { capture } from "./command.mjs";
import { DIST, packageManifest } from "./project.mjs";
import { Refusal, runEntry } from "./terminal.mjs";

const TEXTS = ["types/index.d.ts", "THIRD-PARTY-NOTICES.txt"];
const INSTALL_SCRIPTS = ["preinstall", "install", "postinstall", "prepare"];

await runEntry(() => {
  const problems = [
    ...missingFiles(),
    ...missingOrAltered(),
    ...dynamicPrograms(),
    ...otherVersion(),
    ...installScripts(),
  ];
  if (problems.length > 0) throw new Refusal(`not packed: ${problems.join("; ")}`, "npm run build");
});

function missingFiles() {
  const wanted = [...BUNDLES, ...TEXTS];
  return wanted.filter((path) => !existsSync(join(DIST, path))).map((path) => `dist/${path} is missing`);
}

function dynamicPrograms() {
  const paths = Object.values(PROGRAMS).filter((path) => existsSync(join(DIST, path)));
  return paths.flatMap((path) => {
    const problem = whyNotStatic(readFileSync(join(DIST, path)));
    return problem === undefined ? [] : [`dist/${path}: ${problem}`];
  });
}

/** A dist/ of another version than package.json is one that was not built since. */
function otherVersion() {
  const bin = join(DIST, "bin.cjs");
  const said = existsSync(bin) ? capture(process.execPath, [bin, "--version"])?.trim() : undefined;
  return said === undefined || said.endsWith(` ${packageManifest().version}`)
    ? []
    : [`dist/bin.cjs says that it is ${said}`];
}

/** Package managers block them by default, so a package that needs one is broken for many. */
function installScripts() {
  const { scripts } = packageManifest();
  return INSTALL_SCRIPTS.filter((name) => name in scripts).map((name) => `package.json has a script "${name}"`);
}
