/** A template's name has in it all of the host that its state depends on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { firecrackerDriver } from "../../../src/vmm/firecracker/driver.ts";
import { qemuDriver } from "../../../src/vmm/qemu/driver.ts";

const HOST = { binary: "/vmm", launcher: "/launcher", version: "1.12.1", cpuIdentity: "cpu", hostKernel: "6.1" };
const OTHERS = [{ version: "1.13.0" }, { cpuIdentity: "other" }, { hostKernel: "6.12" }];

const firecracker = (other: object): string => firecrackerDriver({ ...HOST, ...other }).templateIdentity;
const qemu = (other: object): string =>
  qemuDriver({ ...HOST, accelerator: "kvm", tscKhz: 1, ...other }).templateIdentity;

test("template identity: the same host gives the same, another CPU, version or kernel another one", () => {
  for (const identity of [firecracker, qemu]) {
    assert.equal(identity({}), identity({ binary: "/elsewhere" }));
    const all = [identity({}), ...OTHERS.map((other) => identity(other))];
    assert.equal(new Set(all).size, all.length);
  }
});

test("template identity: the VMMs and accelerators never share one; an emulated vCPU outlives the host's kernel", () => {
  const tcg = (other: object): string => qemu({ accelerator: "tcg", ...other });
  assert.equal(new Set([firecracker({}), qemu({}), tcg({})]).size, 3);
  assert.equal(tcg({}), tcg({ hostKernel: "6.12" }));
  assert.notEqual(tcg({}), tcg({ tscKhz: 2 }));
});
