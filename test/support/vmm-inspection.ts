/** A running machine as `vmm-properties.ts` looks at it, and as its own VMM could harm it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Expectation, vmmBelow } from "./vmm-properties.ts";

const WRITE_FROM_INSIDE = join(process.cwd(), "test", "support", "write-from-inside");

export interface Inspected extends Expectation {
  readonly monitor: number;
  /** Files that other machines start from. */
  readonly shared: readonly string[];
}

/** What is to hold of the machine whose directory this is. `cache` is where its environment and template lie. */
export function inspect(machineDirectory: string, cache: string, devices: readonly string[] = []): Inspected {
  const record = JSON.parse(readFileSync(join(machineDirectory, "machine.json"), "utf8")) as {
    process: { pid: number };
    install_dir: string;
  };
  const monitor = record.process.pid;
  const files = (directory: string): string[] => readdirSync(directory).map((name) => join(directory, name));
  const templates = files(join(cache, "templates")).flatMap((each) => [join(each, "memory"), join(each, "state")]);
  const readable = [
    ...files(record.install_dir),
    ...files(join(cache, "initramfs")),
    join(cache, "empty-seed.raw"),
    // A VMM that opens it for reading only maps the template itself.
    ...templates,
  ];
  return {
    monitor,
    pid: vmmBelow(monitor),
    directory: join(machineDirectory, "vmm"),
    writable: [join(machineDirectory, "volume.raw")],
    readable,
    devices,
    shared: readable,
  };
}

/** What the VMM itself could alter of what it holds, of what others start from, and of the server's own records. */
export function alterable({ pid, shared, directory }: Inspected, besides: readonly string[] = []): string[] {
  const records = ["machine.json", "vmm.log"].map((name) => join(directory, "..", name));
  const said = execFileSync("perl", [WRITE_FROM_INSIDE, String(pid), ...shared, ...records, ...besides], {
    encoding: "utf8",
  });
  const lines = said.trim().split("\n");
  if (!/^tried \d+$/.test(lines.pop() ?? "")) throw new Error(`not tried to the end: ${said}`);
  return lines;
}

/** What may be altered is the volume, and that it was shows that the attempts were real. */
export function onlyVolume(altered: readonly string[], volumes: readonly string[]): void {
  const [volume] = volumes;
  assert.ok(
    altered.some((line) => line.includes(`(${volume}): write`)),
    "the attempt itself works: the volume is written",
  );
  assert.deepEqual(
    altered.filter((line) => !line.includes(`(${volume}): `)),
    [],
  );
}
