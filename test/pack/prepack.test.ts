/** scripts/prepack.mjs refuses to pack a dist/ that would not work elsewhere: each rule against a case that breaks it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

const FAULTS: readonly { title: string; says: RegExp; spoil: (root: string) => void }[] = [
  {
    title: "without the guest agent",
    says: /guest\/pyro-agent is missing/,
    spoil: (root) => rmSync(join(root, "dist/guest/pyro-agent")),
  },
  {
    title: "with an agent that is not the one that was built",
    says: /guest\/pyro-agent is not what the manifest says/,
    spoil: (root) =>
      writeFileSync(
        join(root, "dist/guest/pyro-agent"),
        Buffer.concat([readFileSync("dist/guest/pyro-agent"), Buffer.from("x")]),
      ),
  },
  {
    title: "with a launcher that needs a dynamic loader",
    says: /host\/pyro-launch: it asks for a dynamic loader/,
    spoil: (root) => copyFileSync(process.execPath, join(root, "dist/host/pyro-launch")),
  },
  {
    title: "with a launcher that is no program",
    says: /host\/pyro-launch: not a 64-bit ELF file/,
    spoil: (root) => writeFileSync(join(root, "dist/host/pyro-launch"), "#!/bin/sh\n"),
  },
  {
    title: "without declarations",
    says: /types\/index\.d\.ts is missing/,
    spoil: (root) => rmSync(join(root, "dist/types"), { recursive: true }),
  },
  {
    title: "built as another version",
    says: /manifest\.json is of version .*bin\.cjs says that it is pyro/,
    spoil: (root) => editPackage(root, (text) => text.replace(/"version": "[^"]+"/, '"version": "99.0.0"')),
  },
  {
    title: "with an install script",
    says: /has a script "postinstall"/,
    spoil: (root) => editPackage(root, (text) => text.replace('"scripts": {', '"scripts": { "postinstall": "true",')),
  },
];

describe("prepack", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "pyro-prepack-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  it("packs what was just built", () => {
    assert.equal(prepack(copyCheckout(join(folder, "good"))).status, 0);
  });

  for (const [index, { title, says, spoil }] of FAULTS.entries()) {
    it(`refuses a package ${title}`, () => {
      const root = copyCheckout(join(folder, String(index)));
      spoil(root);
      const { status, stderr } = prepack(root);
      assert.equal(status, 1);
      assert.match(stderr, says);
    });
  }
});

const prepack = (root: string) =>
  spawnSync(process.execPath, [join(root, "scripts/prepack.mjs")], { encoding: "utf8" });

function copyCheckout(root: string): string {
  for (const name of ["scripts", "dist"]) cpSync(name, join(root, name), { recursive: true });
  cpSync("src/doctor/requirements.json", join(root, "src/doctor/requirements.json"));
  copyFileSync("package.json", join(root, "package.json"));
  return root;
}

function editPackage(root: string, edit: (text: string) => string): void {
  const path = join(root, "package.json");
  writeFileSync(path, edit(readFileSync(path, "utf8")));
}
