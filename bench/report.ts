/** What a bench leaves: a table for whoever waits, and JSON with every sample. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { type Measurement, printTable } from "./figures.ts";

const DIRECTORY = "bench-results";

/** Prints and saves; `vmm` names what ran the guests. */
export function report(measurements: readonly Measurement[], vmm: string): void {
  const host = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memory_mib: Math.round(totalmem() / 1024 ** 2),
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    node: process.version,
    vmm,
  };
  process.stdout.write(`${printTable(measurements)}\n`);
  mkdirSync(DIRECTORY, { recursive: true });
  const file = join(DIRECTORY, `${new Date().toISOString().replaceAll(":", "-")}.json`);
  writeFileSync(file, JSON.stringify({ host, measurements }, null, 2));
  process.stdout.write(`saved: ${file}\n`);
}
