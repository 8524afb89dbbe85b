/**
 * `npm run lock`: writes package-lock.json after a change of dependencies, whole on any registry.
 *
 * A registry that does not carry the packages of other platforms makes npm 11 leave their entries out (npm/cli issue
 * 9342), and `npm ci` then refuses the lock everywhere. Their exact versions are known all the same, from the packages
 * that offer them, so the entries are added here; nothing is ever downloaded for them on Linux x64.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { runChecked } from "./command.mjs";
import { inProject } from "./project.mjs";
import { runEntry, say } from "./terminal.mjs";

const PATH = inProject("package-lock.json");
const SYSTEMS = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const CPUS = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64", "wasm32"];
/** How packages spell a CPU in their names where it is not how Node spells it. */
const SPELLINGS = { armv7: "arm", aarch64: "arm64", universal: "x64" };

await runEntry(async () => {
  await runChecked("npm", ["install", "--package-lock-only", "--ignore-scripts"]);
  const lock = JSON.parse(readFileSync(PATH, "utf8"));
  const added = missingOptionals(lock);
  for (const { path, entry } of added) lock.packages[path] = entry;
  const paths = Object.keys(lock.packages).toSorted((a, b) => (a < b ? -1 : 1));
  lock.packages = Object.fromEntries(paths.map((path) => [path, lock.packages[path]]));
  writeFileSync(PATH, `${JSON.stringify(lock, null, 2)}\n`);
  say("lock", `${added.length} entries of other platforms added`);
});

/** The optional dependencies that a locked package names and the lock has no version of. */
function missingOptionals({ packages }) {
  return Object.entries(packages).flatMap(([parent, { optionalDependencies = {}, dev }]) =>
    Object.entries(optionalDependencies)
      .filter(([name]) => packages[`node_modules/${name}`]?.version === undefined)
      .filter(([name]) => packages[`${parent}/node_modules/${name}`]?.version === undefined)
      .map(([name, version]) => ({ path: `node_modules/${name}`, entry: entryOf(name, version, dev) })),
  );
}

function entryOf(name, version, dev) {
  const words = name.split(/[-/]/).map((word) => SPELLINGS[word.replace(/(hf|eabi.*)$/, "")] ?? word);
  const os = SYSTEMS.filter((system) => words.includes(system));
  const cpu = CPUS.filter((each) => words.includes(each)).slice(0, 1);
  // Without these npm would try to install it here.
  if (os.length === 0 && cpu.length === 0) throw new Error(`cannot tell the platform of ${name}`);
  const libc = words.includes("musl") || words.includes("musleabihf") ? { libc: ["musl"] } : {};
  return {
    version,
    cpu,
    ...(dev === true ? { dev } : {}),
    ...libc,
    optional: true,
    ...(os.length === 0 ? {} : { os }),
  };
}
