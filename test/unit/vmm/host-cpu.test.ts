import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { type HostCpu, hostCpu, tscKhzOfLog } from "../../../src/vmm/host-cpu.ts";

const EPYC = [
  "processor\t: 0",
  "vendor_id\t: AuthenticAMD",
  "cpu family\t: 26",
  "model\t\t: 2",
  "model name\t: AMD EPYC",
  "stepping\t: 1",
  "cpu MHz\t\t: 2596.120",
  "flags\t\t: fpu tsc avx2",
];
const CPPC = "sys/devices/system/cpu/cpu0/acpi_cppc/nominal_freq";
const BASE = "sys/devices/system/cpu/cpu0/cpufreq/base_frequency";

function cpuOf(files: Record<string, string>): HostCpu {
  const root = mkdtempSync(join(tmpdir(), "pyro-cpu-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return hostCpu(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const cpuinfo = (lines: readonly string[]): string => `${lines.join("\n")}\n\nprocessor\t: 1\nflags\t\t: other\n`;
const withModel = (name: string): string[] =>
  EPYC.map((line) => (line.startsWith("model name") ? `model name\t: ${name}` : line));

describe("the host's CPU", () => {
  it("is identified by what a saved guest relies on, and by nothing that changes by itself", () => {
    const identity = (lines: readonly string[]): string => cpuOf({ "proc/cpuinfo": cpuinfo(lines) }).identity;
    const mine = identity(EPYC);
    assert.match(mine, /^AuthenticAMD-26-2-1-[0-9a-f]{16}$/);
    assert.equal(
      identity(EPYC.map((line) => line.replace("2596.120", "1200.000").replace("fpu tsc avx2", "avx2 fpu tsc"))),
      mine,
    );
    assert.notEqual(identity(EPYC.map((line) => line.replace("avx2", "avx512f"))), mine);
    assert.notEqual(identity(EPYC.map((line) => line.replace("stepping\t: 1", "stepping\t: 2"))), mine);
  });

  it("has the rate that the kernel measured", () => {
    const log =
      "6,1,0,-;tsc: Detected 2596.120 MHz processor\n6,9,1,-;tsc: Refined TSC clocksource calibration: 2595.124 MHz\n";
    assert.equal(tscKhzOfLog(log), 2_595_124);
    assert.equal(tscKhzOfLog(log.split("\n")[0] ?? ""), 2_596_120);
    assert.equal(tscKhzOfLog("nothing of it"), undefined);
    assert.equal(cpuOf({ "proc/cpuinfo": cpuinfo(EPYC), "dev/kmsg": log }).tscKhz, 2_595_124);
  });

  it("else the nominal rate, else the present one", () => {
    const intel = cpuinfo(withModel("Intel(R) Xeon(R) CPU @ 2.80GHz"));
    assert.equal(cpuOf({ "proc/cpuinfo": intel }).tscKhz, 2_800_000);
    const epyc = cpuinfo(EPYC);
    assert.equal(cpuOf({ "proc/cpuinfo": epyc, [BASE]: "2400000\n", [CPPC]: "2000\n" }).tscKhz, 2_400_000);
    assert.equal(cpuOf({ "proc/cpuinfo": epyc, [CPPC]: "2000\n" }).tscKhz, 2_000_000);
    assert.equal(cpuOf({ "proc/cpuinfo": epyc, [CPPC]: "0\n" }).tscKhz, 2_596_120);
  });

  it("is refused when nothing says the rate", () => {
    assert.throws(
      () => cpuOf({}),
      (failure) => PyroError.is(failure) && failure.code === "host_unsupported" && failure.remedy !== undefined,
    );
  });

  it("is known on this host", () => {
    const { tscKhz, name } = hostCpu();
    assert.ok(tscKhz > 100_000 && tscKhz < 10_000_000, `${name}: ${tscKhz} kHz`);
  });
});
