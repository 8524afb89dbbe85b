/** A disk of the host's that fills up under workspaces. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { HostDisk } from "../../../src/workspace/host-disk.ts";
import { whileThereIsRoom } from "../../../src/workspace/seeds/seed-room.ts";
import { done, FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const MIB = 1024 ** 2;
/** Looking keeps no process alive; a server lives by its socket. */
const alive = setInterval(() => undefined, 60_000);
after(() => clearInterval(alive));

/** What is said of a disk of which these looks are taken: MiB that are free, or that it cannot be asked. */
async function saidOf(looks: (number | "fails")[]): Promise<string[]> {
  const said: string[] = [];
  const look = async (): Promise<number> => {
    const next = looks.shift();
    if (typeof next === "number") return await Promise.resolve(next * MIB);
    throw new Error("it cannot be asked");
  };
  await new Promise<void>((settle) => {
    const disk = new HostDisk(look, {
      isNeeded: () => {
        if (looks.length === 0) settle();
        return looks.length > 0;
      },
      onFull: (free) => said.push(`full ${free / MIB}`),
      onRoom: () => said.push("room"),
    });
    disk.watch();
    // One that looks already does not look twice as often.
    disk.watch();
  });
  return said;
}

test("host disk: it is full below the reserve, and has room again some way above", async () => {
  const said = await saidOf([5000, 300, 255, 300, 383, 384, 300]);
  assert.deepEqual(said, ["full 255", "full 300", "full 383", "room"]);
});

test("host disk: a look that fails changes nothing, and is followed by another one", async () => {
  const said = await saidOf(["fails", 300, 255, "fails", "fails", 384, "fails"]);
  assert.deepEqual(said, ["full 255", "full 255", "full 255", "room"]);
});

test("host disk: machines stand still while it is full, which everybody is told, and go on by themselves", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const [made, other] = [await all.create(NEW_WORKSPACE, call), await all.create(NEW_WORKSPACE, call)];
  host.freeBytes = 100 * MIB;
  const ids = [made.machine?.id ?? "", other.machine?.id ?? ""];
  await Promise.all(ids.map(async (id) => await done(host, `pause ${id}`)));
  assert.match(made.paused?.message ?? "", /100 MiB free/);
  const refused = async (work: Promise<unknown>): Promise<void> =>
    await assert.rejects(work, (error: unknown) => {
      assert.ok(PyroError.is(error) && error.code === "resource_exhausted", String(error));
      assert.match(error.remedy ?? "", /--purge/);
      return true;
    });
  await refused(made.commands.next("true", call.signal));
  await refused(made.snapshots.create("one"));
  await refused(made.reset("baseline", call));
  await refused(made.stop("asked", "it was stopped"));
  await refused(all.create(NEW_WORKSPACE, call));
  const machine = made.machine ?? assert.fail();
  // Deleting is how room is made.
  await all.delete(other.record.id, { force: true, purge: true });
  assert.equal(made.machine, machine);
  host.freeBytes = 1024 * MIB;
  await done(host, `resume ${ids[0]}`);
  await made.snapshots.create("one");
  await made.stop("asked", "it was stopped");
  assert.equal(made.record.stopped?.reason, "asked");
  await all.close();
});

test("host disk: one that gets full ends the making of a seed with the reason, a caller that goes away with its own", async () => {
  const aborted = async (signal: AbortSignal): Promise<never> =>
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
  const looks = [600 * MIB, 300 * MIB, 200 * MIB];
  const free = async (): Promise<number> => await Promise.resolve(looks.shift() ?? 0);
  await assert.rejects(whileThereIsRoom(free, new AbortController().signal, aborted), {
    code: "resource_exhausted",
    message: /200 MiB free/,
  });
  const caller = AbortSignal.abort(new PyroError("cancelled", "the caller went away"));
  await assert.rejects(
    whileThereIsRoom(
      async () => await Promise.resolve(600 * MIB),
      caller,
      async (signal) => {
        signal.throwIfAborted();
        return await aborted(signal);
      },
    ),
    { code: "cancelled" },
  );
});
