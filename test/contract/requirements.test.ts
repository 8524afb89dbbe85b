/** The table of what the host must have, which `npm run demo`, `npm test` and `pyro doctor` share. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { describe, it } from "node:test";

interface Requirement {
  readonly id: string;
  readonly command?: string;
  readonly file?: string;
  readonly minimumVersion?: string;
  readonly versionFlag?: string;
  readonly why: string;
  readonly neededFor: readonly string[];
  readonly neededBy: string;
  readonly packages: Readonly<Record<string, readonly string[]>>;
}
interface Table {
  readonly packageManagers: Readonly<
    Record<string, { distributions: string[]; refresh: string[] | null; install: string[] }>
  >;
  readonly requirements: readonly Requirement[];
}

const table = JSON.parse(readFileSync("src/doctor/requirements.json", "utf8")) as Table;
const setup = (name: string) => import(pathToFileURL(`scripts/setup/${name}.mjs`).href);
const { packageManager, isAtLeast, versionIn } = await setup("requirements");
const { installCommands } = await setup("packages");

describe("requirements", () => {
  for (const each of table.requirements) {
    it(`${each.id}: says what, why, for what, and which package brings it everywhere`, () => {
      assert.equal([each.command, each.file].filter((place) => place !== undefined).length, 1, "a command or a file");
      assert.ok(each.why.length > 10);
      assert.ok(
        each.neededFor.length > 0 &&
          each.neededFor.every((purpose) => ["run", "pull", "workspace", "build", "test"].includes(purpose)),
      );
      assert.ok(["everyone", "unprivileged"].includes(each.neededBy));
      assert.deepEqual(Object.keys(each.packages), Object.keys(table.packageManagers));
      for (const names of Object.values(each.packages)) assert.notEqual(names.length, 0);
    });
  }

  it("finds the package manager by /etc/os-release, of a derivative too", () => {
    const named = (text: string): unknown => packageManager(text)?.name;
    assert.equal(named("NAME=Debian\nID=debian\n"), "apt");
    assert.equal(named('ID=linuxmint\nID_LIKE="ubuntu debian"\n'), "apt");
    assert.equal(named('ID="rocky"\nID_LIKE="rhel centos fedora"\n'), "dnf");
    assert.equal(named("ID=arch\n"), "pacman");
    assert.equal(named("ID=nixos\n"), undefined);
  });

  it("reads and compares versions as numbers", () => {
    assert.equal(versionIn("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"), "7.2.22");
    assert.equal(versionIn("mksquashfs version 4.5.1 (2022/03/17)"), "4.5.1");
    assert.equal(versionIn("no number"), undefined);
    assert.ok(isAtLeast("10.0", "7.2") && isAtLeast("7.2.22", "7.2") && isAtLeast("7.2", "7.2.0"));
    assert.ok(!isAtLeast("7.1.9", "7.2") && !isAtLeast("6", "7.2"));
  });

  it("installs every package once, after a refresh where the manager needs one", () => {
    const commands = installCommands({ ...table.packageManagers["apt"] }, ["uidmap", "gcc", "uidmap"]);
    assert.deepEqual(commands, [
      ["apt-get", "update"],
      ["apt-get", "install", "--yes", "--no-install-recommends", "uidmap", "gcc"],
    ]);
    assert.equal(installCommands(table.packageManagers["pacman"], ["gcc"]).length, 1);
  });
});
