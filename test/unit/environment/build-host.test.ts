import assert from "node:assert/strict";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { parsePackages } from "../../../src/environment/debian/apt-root.ts";
import { aptFailure } from "../../../src/environment/debian/apt-run.ts";
import { type BuildHost, KEYRING, requireBuildHost } from "../../../src/environment/debian/build-host.ts";
import { requireSpace } from "../../../src/environment/disk-space.ts";
import { scratchDirectory } from "./scratch.ts";

const root = await scratchDirectory();

async function put(path: string, content = ""): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content);
  await chmod(join(root, path), 0o755);
}

const host = (uid: number): BuildHost => ({ root, uid, userName: "you", env: { PATH: "/usr/bin" } });

const refusal = async (uid: number): Promise<PyroError> => {
  const failure: unknown = await requireBuildHost(host(uid)).then(
    () => assert.fail("the host was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(PyroError.is(failure), String(failure));
  return failure;
};

test("build host: everything that is missing is named at once, with one command", async () => {
  await put("/usr/bin/apt-get");
  await put("/usr/bin/dpkg-deb");
  const failure = await refusal(1000);
  assert.equal(failure.code, "dependency_missing");
  assert.match(
    failure.remedy ?? "",
    /^sudo apt-get install --yes mmdebstrap squashfs-tools uidmap debian-archive-keyring/,
  );
  for (const name of ["mmdebstrap", "sqfstar"]) await put(`/usr/bin/${name}`);
  await put(KEYRING);
  await requireBuildHost(host(0));
});

test("build host: a plain user needs subordinate ids, and is told a range nobody has", async () => {
  for (const name of ["newuidmap", "newgidmap"]) await put(`/usr/bin/${name}`);
  await put("/etc/subuid", "other:100000:65536\nyou:165536:1000\n");
  const failure = await refusal(1000);
  assert.equal(failure.code, "host_unsupported");
  assert.equal(failure.remedy, "sudo usermod --add-subuids 166536-232071 --add-subgids 166536-232071 you");
  await put("/etc/subuid", "1000:165536:65536\n");
  await put("/etc/subgid", "you:165536:65536\n");
  await requireBuildHost(host(1000));
});

test("build host: where only root may make user namespaces, the switch is named", async () => {
  await put("/proc/sys/kernel/unprivileged_userns_clone", "0\n");
  const failure = await refusal(1000);
  assert.equal(failure.remedy, "sudo sysctl --write kernel.unprivileged_userns_clone=1");
  await requireBuildHost(host(0));
  await rm(join(root, "proc"), { recursive: true });
});

test("build host: too little disk is an error with both figures, also where nothing has been created yet", async () => {
  await requireSpace(root, 1, "PYRO_CACHE_DIR");
  await assert.rejects(
    requireSpace(join(root, "not", "yet", "there"), 2 ** 60, "PYRO_CACHE_DIR"),
    (failure: unknown) => {
      assert.ok(PyroError.is(failure));
      assert.equal(failure.code, "resource_exhausted");
      assert.equal(failure.evidence["needed_mib"], 2 ** 40);
      assert.match(failure.remedy ?? "", /PYRO_CACHE_DIR/);
      return true;
    },
  );
});

test("apt: what it says becomes a typed error", () => {
  const code = (text: string): string => aptFailure("apt-get install", text, 100).code;
  assert.equal(code("E: Unable to locate package gti"), "invalid_argument");
  assert.equal(code("The following packages have unmet dependencies:\n"), "invalid_argument");
  assert.equal(code("E: You don't have enough free space.\nNo space left on device"), "resource_exhausted");
  assert.equal(code("W: GPG error: http://x InRelease: NO_PUBKEY 0E98404D386FA1D9"), "environment_failed");
  assert.match(aptFailure("apt-get update", "Err:1 http://x\n  Could not resolve 'x'", 100).remedy ?? "", /proxy/);
});

test("apt: packages are read from its listing, under the name it gives their files", () => {
  const text = `Package: git
Version: 1:2.39.5-0+deb12u3
Installed-Size: 44890
Architecture: amd64
Description: fast, scalable
 Size: 1 is not a field here
Filename: pool/main/g/git/git_2.39.5-0+deb12u3_amd64.deb
Size: 7264380
SHA256: 637a85ddd6247fab13bdd0592f2f39aff04ce4dbf0655d3ab553ac359a38ce6f

Package: virtual
`;
  assert.deepEqual(parsePackages(text), [
    {
      name: "git",
      version: "1:2.39.5-0+deb12u3",
      fileName: "git_1%3a2.39.5-0+deb12u3_amd64.deb",
      bytes: 7_264_380,
      sha256: "637a85ddd6247fab13bdd0592f2f39aff04ce4dbf0655d3ab553ac359a38ce6f",
      installedBytes: 45_967_360,
    },
  ]);
});
