import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { identifyProcess, isAlive, signalProcess } from "../../../src/host/process-identity.ts";

const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
});

function sleeper(): number {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  children.push(child);
  return child.pid ?? assert.fail("sleep did not start");
}

test("process identity: a running process is alive and gets the signal, once it has ended it is neither", async () => {
  const pid = sleeper();
  const identity = identifyProcess(pid) ?? assert.fail("it runs");
  assert.ok(isAlive(identity));
  const exit = once(children.at(-1) ?? assert.fail(), "exit");
  assert.ok(signalProcess(identity, "SIGTERM"));
  assert.deepEqual(await exit, [null, "SIGTERM"]);
  assert.equal(isAlive(identity), false);
  assert.equal(signalProcess(identity, "SIGTERM"), false);
  assert.equal(identifyProcess(pid), undefined);
});

test("process identity: a process with the same pid but another start time, or of another boot, is left alone", () => {
  const identity = identifyProcess(sleeper()) ?? assert.fail("it runs");
  const others = [
    { ...identity, startTicks: identity.startTicks - 1 },
    { ...identity, bootId: "00000000-0000-0000-0000-000000000000" },
  ];
  for (const other of others) {
    assert.equal(isAlive(other), false);
    assert.equal(signalProcess(other, "SIGKILL"), false);
  }
  assert.ok(isAlive(identity));
});

test("process identity: a zombie is no process", async () => {
  // The shell becomes a program that never reaps the child it had as a shell.
  const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
  children.push(parent);
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(line.toString());
  const zombie = (): boolean => identifyProcess(pid) === undefined;
  const end = performance.now() + 5000;
  while (!zombie() && performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(zombie());
  process.kill(pid, 0);
});

test("process identity: a name with blanks and parentheses does not confuse it", async () => {
  const script = '$0 = ") Z 1 (x"; $| = 1; print "named\\n"; sleep 60';
  const child = spawn("perl", ["-e", script], { stdio: ["ignore", "pipe", "ignore"] });
  children.push(child);
  const pid = child.pid ?? assert.fail("perl did not start");
  const before = identifyProcess(pid);
  await once(child.stdout, "data");
  assert.match(readFileSync(`/proc/${pid}/stat`, "latin1"), /\) Z 1 \(x/);
  assert.deepEqual(identifyProcess(pid), before);
});
