/** The installed tarball runs a command in a guest, without cargo and without the checkout. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { type InstalledPackage, installPackage } from "../pack/installed-package.ts";

/** The package's templates and kernel may have to be made first. */
const RUN_TIMEOUT_MS = 600_000;

describe("the packed package, in a guest", () => {
  let installed: InstalledPackage;
  before(() => {
    installed = installPackage();
  });
  after(() => {
    spawnSync("pyro", ["server", "stop"], { env: installed.env });
    installed.remove();
  });

  it("runs a command", () => {
    // What environments are made with is the host's; what was built of Rust comes from the package alone.
    const env = { ...installed.env, PATH: `${installed.env["PATH"] ?? ""}:/usr/bin:/bin:/usr/sbin:/sbin` };
    const options = { cwd: installed.folder, env, encoding: "utf8", timeout: RUN_TIMEOUT_MS } as const;
    const { status, stdout, stderr } = spawnSync("pyro", ["run", "debian:12", "--", "echo", "from the guest"], options);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "from the guest\n");
  });
});
