/** Every VMM is in a jail: the eight properties of security, for root and for a plain user, and what it cannot alter. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { DoctorReport } from "../../src/contract/host-operations.ts";
import { machineRuntimeDirectory } from "../../src/host/paths.ts";
import { identifyProcess, isAlive } from "../../src/host/process-identity.ts";
import { packageFile } from "../../src/host/package-files.ts";
import { jailArguments } from "../../src/vmm/confinement.ts";
import { qemuFiles } from "../../src/vmm/qemu/files.ts";
import { findQemu } from "../../src/vmm/qemu/version.ts";
import { Collector } from "../support/guest-cases.ts";
import { client, paths, until } from "../support/guest-host.ts";
import { cliAsPlainUser, makePlainUser, openAsPlainUser, PLAIN_USER } from "../support/plain-user.ts";
import { alterable, inspect, onlyVolume } from "../support/vmm-inspection.ts";
import { type Expectation, type Property, violations, vmmBelow } from "../support/vmm-properties.ts";

const ENVIRONMENT = "debian:12";
const isRoot = process.getuid?.() === 0;
const notRoot = isRoot ? false : "only root can become another user";

const pyro = client();
const scratch = mkdtempSync("/tmp/pyro-jail-");
chmodSync(scratch, 0o755);
after(() => rmSync(scratch, { recursive: true, force: true }));

test(
  "jail: a plain user's VMM has all eight properties, and can alter nothing but its volume",
  { skip: notRoot },
  async () => {
    const user = makePlainUser(join(scratch, "plain"));
    const machine = await openAsPlainUser(user);
    try {
      assert.equal(machine.confinement, "full");
      const found = inspect(join(user.runtime, "m", machine.id), user.cache);
      assert.deepEqual(violations(found), new Map());
      onlyVolume(alterable(found, ["/etc/passwd"]), found.writable);
      assert.equal(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${found.pid}/status`, "utf8"))?.[1], String(PLAIN_USER));
    } finally {
      await machine.stop();
    }
  },
);

test("jail: where namespaces are forbidden it is said everywhere, and the rest holds", { skip: notRoot }, async () => {
  const user = makePlainUser(join(scratch, "forbidden"));
  const machine = await openAsPlainUser(user, true);
  try {
    assert.equal(machine.confinement, "reduced");
    const found = inspect(join(user.runtime, "m", machine.id), user.cache);
    const lacking = [...violations(found).keys()];
    // Without a user namespace a plain user can neither empty the bounding set nor have processes counted apart.
    assert.deepEqual(lacking, ["capabilities", "root", "limits", "network"]);
    assert.match(readFileSync(`/proc/${found.pid}/status`, "utf8"), /^CapPrm:\t0+\nCapEff:\t0+$/m);
    // The files of the user are the VMM's too; what it starts from is a copy that is sealed.
    assert.deepEqual(
      alterable(found).filter((line) => line.includes("memfd")),
      [],
    );
  } finally {
    await machine.stop();
  }
  const report = JSON.parse(await cliAsPlainUser(user, ["doctor", "--json"], true)) as DoctorReport;
  assert.equal(report.machine?.confinement, "reduced");
  assert.equal(report.machine.confinement_reason, "namespaces: No space left on device");
  const check = report.checks.find(({ id }) => id === "confinement");
  assert.deepEqual([check?.ok, check?.required], [false, false]);
  assert.match(check?.fix ?? "", /user\.max_user_namespaces/);
});

test("jail: whichever of VMM and monitor is killed, both are gone and the machine is cleaned up", async () => {
  for (const victim of ["pid", "monitor"] as const) {
    const machine = await pyro.machine({ environment: ENVIRONMENT });
    const found = inspect(machineRuntimeDirectory(paths, machine.id), paths.cache);
    const both = [found.pid, found.monitor].map((pid) => identifyProcess(pid) ?? assert.fail("it does not run"));
    const stdout = new Collector();
    const running = machine.exec("echo started; sleep 300", { stdout, timeout_seconds: 600 });
    await stdout.seen("started");
    process.kill(found[victim], "SIGKILL");
    await assert.rejects(running, /SIGKILL/);
    await until(() => !both.some(isAlive), 5000, "VMM and monitor are gone");
  }
});

/** A QEMU without a guest, started by the launcher with what a VMM gets, but for what `leaveOut` names. */
async function withStandIn(
  { leaveOut = [], add = [], qemu: more = [] }: Partial<Record<"leaveOut" | "add" | "qemu", readonly string[]>>,
  look: (found: Expectation) => void,
): Promise<void> {
  const { path: binary } = await findQemu();
  const directory = join(mkdtempSync(join(scratch, "m-")), "vmm");
  mkdirSync(directory, { mode: 0o777 });
  chmodSync(directory, 0o777);
  const options = [
    ...[
      "--log",
      `${directory}.log`,
      "--chdir",
      directory,
      "--new-session",
      "--drop-capabilities",
      "--no-new-privileges",
    ],
    ...jailArguments({ directory, readOnlyPaths: qemuFiles(binary), writablePaths: [], devices: [] }),
    ...["core=0", "memlock=0", "nofile=256", "nproc=100", "fsize=1000000", "as=8000000000"].flatMap((limit) => [
      "--rlimit",
      limit,
    ]),
  ];
  const args = [...without(options, leaveOut), ...add];
  const qemu = [
    "-M",
    "none",
    "-nodefaults",
    "-display",
    "none",
    ...(leaveOut.includes("-sandbox") ? [] : SANDBOX),
    ...more,
  ];
  // Kept only when it is asked for.
  const stranger = openSync("/etc/hostname", "r");
  const child = spawn(packageFile("launcher").path, [...args, "--", binary, ...qemu], {
    stdio: ["ignore", "ignore", "inherit", stranger],
    env: {},
  });
  try {
    await until(() => isQemuUp(child), 10_000, "QEMU runs");
    look({ pid: vmmBelow(child.pid ?? 0), directory, writable: [], readable: [], devices: [] });
  } finally {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
}

const SANDBOX = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"];

/** It waits for events: all that it does at its start is done. */
function isQemuUp({ pid, exitCode, signalCode }: ChildProcess): boolean {
  assert.deepEqual([exitCode, signalCode], [null, null], "QEMU ended");
  try {
    const vmm = vmmBelow(pid ?? 0);
    return (
      /^\d+ \(qemu[^)]*\) S/.test(readFileSync(`/proc/${vmm}/stat`, "utf8")) &&
      /ppoll|poll/.test(readFileSync(`/proc/${vmm}/wchan`, "utf8"))
    );
  } catch {
    return false;
  }
}

/** The options but the named ones; a name with a value leaves out that pair only. */
function without(options: readonly string[], leaveOut: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < options.length; index += 1) {
    const [name = "", value = ""] = [options[index], options[index + 1]];
    const takesValue = !value.startsWith("--") && value !== "";
    const isOut = leaveOut.includes(name) || (takesValue && leaveOut.includes(`${name} ${value.split("=")[0]}`));
    if (!isOut) kept.push(name, ...(takesValue ? [value] : []));
    if (takesValue) index += 1;
  }
  return kept;
}

interface KnownBad {
  readonly broken: Property;
  readonly leaveOut?: readonly string[];
  readonly add?: readonly string[];
  readonly qemu?: readonly string[];
  readonly needsRoot?: true;
}

const KNOWN_BAD: readonly KnownBad[] = [
  { broken: "seccomp", leaveOut: ["-sandbox"] },
  { broken: "noNewPrivileges", leaveOut: ["-sandbox", "--no-new-privileges"] },
  { broken: "capabilities", leaveOut: ["--drop-capabilities"] },
  { broken: "user", leaveOut: ["--user"], needsRoot: true },
  { broken: "descriptors", add: ["--keep-fd", "3"] },
  { broken: "root", leaveOut: ["--root", "--own-descriptors"] },
  { broken: "limits", leaveOut: ["--rlimit nofile"] },
  { broken: "limits", leaveOut: ["--rlimit as"] },
  { broken: "network", leaveOut: ["--namespaces", "--root"] },
  { broken: "network", qemu: ["-chardev", "socket,id=c,host=0.0.0.0,port=0,server=on,wait=off"] },
  { broken: "network", qemu: ["-chardev", "socket,id=c,path=pyro-test,abstract=on,server=on,wait=off"] },
];

test("jail: a VMM that lacks one of the properties is found out", async (t) => {
  await t.test("the stand-in has them all", async () => {
    await withStandIn({}, (found) => assert.deepEqual(violations(found), new Map()));
  });
  for (const { broken, leaveOut = [], add = [], qemu = [], needsRoot = false } of KNOWN_BAD) {
    const name = `${broken}: without ${leaveOut.join(" ") || "nothing"}, with ${[...add, ...qemu].at(-1) ?? "nothing"}`;
    await t.test(name, { skip: needsRoot && notRoot }, async () => {
      await withStandIn({ leaveOut, add, qemu }, (found) => {
        assert.ok(violations(found).has(broken), JSON.stringify([...violations(found)]));
      });
    });
  }
});
