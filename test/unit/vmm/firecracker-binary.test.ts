import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type ErrorCode, PyroError } from "../../../src/contract/error.ts";
import type { HostPaths } from "../../../src/host/paths.ts";
import {
  type FirecrackerProgram,
  findFirecracker,
  parseFirecrackerVersion,
} from "../../../src/vmm/firecracker/binary.ts";

let base = "";
let paths: HostPaths;
before(() => {
  base = mkdtempSync(join(tmpdir(), "pyro-firecracker-"));
  paths = { cache: join(base, "cache"), state: base, runtime: base, config: base };
});
after(() => rmSync(base, { recursive: true, force: true }));

function program(directory: string, name: string, body: string, mode = 0o755): string {
  mkdirSync(join(base, directory), { recursive: true });
  const path = join(base, directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode });
  return path;
}

const saying = (words: string): string => `echo "${words}"; echo; echo "exiting successfully"`;

const find = async (env: NodeJS.ProcessEnv, versionDeadlineMs?: number): Promise<FirecrackerProgram> =>
  await findFirecracker({ paths, env, ...(versionDeadlineMs === undefined ? {} : { versionDeadlineMs }) });

const refusal = (code: ErrorCode, words: RegExp) => (failure: unknown) =>
  PyroError.is(failure) && failure.code === code && words.test(failure.message) && failure.remedy !== undefined;

describe("finding Firecracker", () => {
  it("takes PYRO_FIRECRACKER before PATH, and runs nothing that lies beside it", async () => {
    const inPath = program("bin", "firecracker", saying("Firecracker v1.13.0"));
    const named = program("own", "firecracker-v1.14.1-x86_64", saying("Firecracker v1.14.1"));
    const ran = join(base, "ran");
    program("own", "jailer-v1.14.1-x86_64", `echo >> ${ran}; ${saying("Jailer v1.14.1")}`);
    const bin = join(base, "bin");
    assert.deepEqual(
      { ...(await find({ PATH: bin })), fileIdentity: "" },
      {
        path: inPath,
        version: "1.13.0",
        source: "PATH",
        fileIdentity: "",
      },
    );
    const own = await find({ PATH: bin, PYRO_FIRECRACKER: named });
    assert.deepEqual([own.path, own.version, own.source], [named, "1.14.1", "PYRO_FIRECRACKER"]);
    assert.equal(existsSync(ran), false);
  });

  it("reads the version from what Firecracker prints", () => {
    const real = "Firecracker v1.12.1\n\n2026-11-23T11:28:05.359913959 [anonymous-instance:main] Firecracker exiting\n";
    assert.equal(parseFirecrackerVersion(real), "1.12.1");
    assert.equal(parseFirecrackerVersion("Firecracker v1.15.0-dev\n"), "1.15.0");
    for (const other of ["", "Jailer v1.12.1", "Firecracker next", "x Firecracker v1.2.3"]) {
      assert.equal(parseFirecrackerVersion(other), undefined);
    }
  });

  it("refuses one that is missing, too old, something else, not executable or broken, and says which", async () => {
    const old = program("bad", "old", saying("Firecracker v1.11.0"));
    const other = program("bad", "other", "echo hello");
    const plain = program("bad", "plain", "", 0o644);
    const noElf = join(base, "bad", "no-elf");
    writeFileSync(noElf, "\u007fELF nonsense", { mode: 0o755 });
    const named = (path: string) => find({ PYRO_FIRECRACKER: path });
    await assert.rejects(find({ PATH: "" }), refusal("not_found", /^Firecracker is not installed$/));
    await assert.rejects(
      named("/no/such"),
      refusal("dependency_missing", /PYRO_FIRECRACKER names \/no\/such.*not there/),
    );
    await assert.rejects(named(base), refusal("dependency_missing", /no file/));
    await assert.rejects(
      named(old),
      refusal("dependency_missing", /old is Firecracker 1\.11\.0, and pyro needs 1\.12/),
    );
    await assert.rejects(named(other), refusal("dependency_missing", /does not say that it is Firecracker/));
    await assert.rejects(named(plain), refusal("permission_denied", /may not be executed/));
    await assert.rejects(named(noElf), refusal("dependency_missing", /no-elf does not/));
  });

  it("gives up on one that hangs on --version", async () => {
    const hangs = program("bad", "hangs", "exec sleep 60");
    const begin = performance.now();
    await assert.rejects(
      find({ PYRO_FIRECRACKER: hangs }, 200),
      refusal("dependency_missing", /does not say its version within 200 ms/),
    );
    assert.ok(performance.now() - begin < 5000);
  });

  it("asks a program for its version once, until the file changes", async () => {
    const calls = join(base, "calls");
    const path = program("once", "firecracker", `echo >> ${calls}; ${saying("Firecracker v1.12.0")}`);
    const { fileIdentity } = await find({ PYRO_FIRECRACKER: path });
    await find({ PYRO_FIRECRACKER: path });
    const count = (): number => readFileSync(calls, "utf8").length;
    assert.equal(count(), 1);
    program("once", "firecracker", `echo >> ${calls}; ${saying("Firecracker v1.13.0")}`);
    const changed = await find({ PYRO_FIRECRACKER: path });
    assert.deepEqual([changed.version, count()], ["1.13.0", 2]);
    assert.notEqual(changed.fileIdentity, fileIdentity);
  });
});
