import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { requirement } from "../../../src/doctor/requirements.ts";
import { isAtLeast } from "../../../src/vmm/program.ts";
import { findQemu, parseQemuVersion, QEMU_MINIMUM } from "../../../src/vmm/qemu/version.ts";

let bin = "";
before(() => (bin = mkdtempSync(join(tmpdir(), "pyro-qemu-"))));
after(() => rmSync(bin, { recursive: true, force: true }));

function program(name: string, body: string, mode = 0o755): string {
  const path = join(bin, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode });
  return path;
}

const missing = (words: RegExp) => (failure: unknown) =>
  PyroError.is(failure) &&
  failure.code === "dependency_missing" &&
  words.test(failure.message) &&
  failure.remedy !== undefined;

describe("a QEMU's version", () => {
  it("is read from what distributions print", () => {
    const lines = {
      "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c)": "7.2.22",
      "QEMU emulator version 9.1.0-rc2 (v9.1.0-rc2-12-gabcdef)": "9.1.0",
      "QEMU emulator version 10.0.2 (qemu-10.0.2-1.fc42)": "10.0.2",
      "qemu-system-x86_64: warning\nQEMU emulator version 8.2.2": "8.2.2",
    };
    for (const [line, version] of Object.entries(lines)) assert.equal(parseQemuVersion(line), version);
    for (const line of ["", "GNU bash, version 5.2", "QEMU emulator version next"])
      assert.equal(parseQemuVersion(line), undefined);
  });

  it("is compared by numbers", () => {
    const part = fc.nat(200);
    const version = fc.tuple(part, part, part);
    fc.assert(
      fc.property(version, version, (a, b) => {
        const weight = ([major, minor, micro]: readonly number[]): number => major! * 1e6 + minor! * 1e3 + micro!;
        assert.equal(isAtLeast(a.join("."), b.join(".")), weight(a) >= weight(b));
      }),
    );
    assert.equal(isAtLeast("7.2", "7.2.0"), true);
    assert.equal(isAtLeast("10.0", "7.2"), true);
  });

  it("has one minimum, in the code as in the table of packages", () => {
    assert.equal(requirement("qemu").minimumVersion, QEMU_MINIMUM);
  });
});

describe("finding QEMU", () => {
  it("takes PYRO_QEMU before PATH, by path or by name", async () => {
    program("qemu-system-x86_64", 'echo "QEMU emulator version 8.0.0"');
    const own = program("my-qemu", 'echo "QEMU emulator version 9.0.0"');
    assert.equal((await findQemu({ PATH: bin })).version, "8.0.0");
    assert.equal((await findQemu({ PATH: bin, PYRO_QEMU: own })).version, "9.0.0");
    assert.equal((await findQemu({ PATH: bin, PYRO_QEMU: "my-qemu" })).path, own);
  });

  it("notices when the file is replaced", async () => {
    const path = program("changing", 'echo "QEMU emulator version 8.0.0"');
    const original = (await findQemu({ PYRO_QEMU: path })).fileIdentity;
    program("changing", 'echo "QEMU emulator version 8.0.0" ');
    assert.notEqual((await findQemu({ PYRO_QEMU: path })).fileIdentity, original);
  });

  it("refuses what is missing, too old, or something else, and says which", async () => {
    const old = program("old", 'echo "QEMU emulator version 6.2.0 (Debian 1:6.2)"');
    const other = program("other", "echo hello");
    const broken = program("broken", "exit 1");
    const noProgram = program("plain", "", 0o644);
    await assert.rejects(findQemu({ PATH: "" }), missing(/qemu-system-x86_64 is not installed/));
    await assert.rejects(findQemu({ PYRO_QEMU: old }), missing(/old is QEMU 6\.2\.0, and pyro needs 7\.2 or newer/));
    await assert.rejects(findQemu({ PYRO_QEMU: other }), missing(/does not say that it is QEMU/));
    await assert.rejects(findQemu({ PYRO_QEMU: broken }), missing(/does not say that it is QEMU/));
    await assert.rejects(findQemu({ PYRO_QEMU: noProgram }), missing(/PYRO_QEMU names/));
    await assert.rejects(findQemu({ PYRO_QEMU: "/no/such/qemu" }), missing(/PYRO_QEMU names \/no\/such\/qemu/));
    await assert.rejects(findQemu({ PYRO_QEMU: "relative/qemu", PATH: bin }), missing(/PYRO_QEMU names/));
  });
});
