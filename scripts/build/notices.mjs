/** The licences of what is shipped inside our files: their texts ask to go along with every copy. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { capture } from "../command.mjs";
import { DIST, inProject, RUST_TARGET } from "../project.mjs";
import { Refusal } from "../terminal.mjs";

const LICENCE_FILE = /^(licen[cs]e|copying|notice|unlicense)/i;

/** Writes dist/THIRD-PARTY-NOTICES.txt: the packages that esbuild's metafile names, and the crates of the static programs. */
export function writeNotices(metafile) {
  const sections = [...bundledPackages(metafile), ...linkedCrates()].map(({ title, folder }) => {
    const texts = licenceTexts(folder);
    return `${title}\n\n${texts.length === 0 ? "(no licence file; see its name above)" : texts.join("\n\n")}\n`;
  });
  writeFileSync(join(DIST, "THIRD-PARTY-NOTICES.txt"), sections.join(`\n${"-".repeat(80)}\n\n`));
}

function bundledPackages(metafile) {
  const folders = Object.keys(metafile.inputs).map((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].toSorted().map((path) => {
    const folder = inProject(path);
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return { title: `${name} ${version} (npm): ${license}`, folder };
  });
}

/** The crates whose code is in the static programs: neither what builds nor what tests them. */
function linkedCrates() {
  const metadata = cargo(["metadata", "--format-version", "1", "--filter-platform", RUST_TARGET]);
  const edges = ["--edges", "normal,no-proc-macro", "--target", RUST_TARGET, "--prefix", "none", "--format", "{p}"];
  const linked = new Set(cargo(["tree", "--workspace", ...edges]).match(/^\S+ v\S+/gm));
  const crates = JSON.parse(metadata).packages.filter(({ name, version }) => linked.has(`${name} v${version}`));
  // The workspace's own crates have no source; they are under our licence.
  return crates
    .filter(({ source }) => source !== null)
    .map(({ name, version, license, manifest_path: manifest }) => ({
      title: `${name} ${version} (crate): ${license}`,
      folder: dirname(manifest),
    }));
}

function cargo(args) {
  const output = capture("cargo", [...args, "--locked"], { maxBuffer: 64 * 1024 * 1024 });
  if (output === undefined) throw new Refusal(`cargo ${args[0]} failed`, `cargo ${args.join(" ")} --locked`);
  return output;
}

function licenceTexts(folder) {
  const files = readdirSync(folder, { withFileTypes: true }).filter(
    (entry) => entry.isFile() && LICENCE_FILE.test(entry.name),
  );
  return files.map(({ name }) => readFileSync(join(folder, name), "utf8").trim());
}
