/**
 * The built server in a process that can be told to kill somebody before its n-th step: before the n-th time that it changes something on its
 * disk, starts a program, or writes to a guest, a program or a client. The order is a file in its state (`file-steps.ts`), and so is how far
 * it has come.
 */
import { appendFileSync, existsSync, readFileSync, unlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type KillOrder, STEPS_FILES } from "./step-orders.ts";

const CHANGES = ["rename", "rm", "mkdir", "writeFile", "appendFile"];
/** A killed process is gone as soon as its threads notice; its parent may be busy. */
const GONE_WITHIN_MS = 5000;

const modules = createRequire(import.meta.url);
const state = process.env["PYRO_STATE_DIR"] ?? "";
const [order, taken, entry] = STEPS_FILES.map((name) => join(state, name)) as [string, string, string];
let steps = 0;

replace("node:fs/promises", CHANGES);
replace("node:child_process", ["spawn"]);
const { Duplex } = modules("node:stream") as { Duplex: { prototype: object } };
replaceIn(Duplex.prototype, ["write", "end"]);
modules(readFileSync(entry, "utf8"));

function replace(module: string, names: readonly string[]): void {
  replaceIn(modules(module) as object, names);
}

function replaceIn(holder: object, names: readonly string[]): void {
  for (const name of names) {
    const call = Reflect.get(holder, name) as (...all: unknown[]) => unknown;
    const counted = function (this: unknown, ...all: unknown[]): unknown {
      step();
      return call.apply(this, all);
    };
    Object.assign(holder, { [name]: counted });
  }
}

function step(): void {
  if (!existsSync(order)) {
    steps = 0;
    return;
  }
  steps += 1;
  appendFileSync(taken, ".");
  const { before, pid } = JSON.parse(readFileSync(order, "utf8")) as KillOrder;
  if (steps < before) return;
  unlinkSync(order);
  process.kill(pid === 0 ? process.pid : pid, "SIGKILL");
  const end = performance.now() + GONE_WITHIN_MS;
  while (isRunning(pid) && performance.now() < end);
}

/** Whether it is there and no zombie. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
