/** A workspace that has no machine says why, at every moment. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Workspace } from "../../../src/workspace/workspace.ts";
import { FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const ENDS: Readonly<Record<string, (workspace: Workspace) => Promise<unknown>>> = {
  stop: async (workspace) => await workspace.stop("asked", "it was stopped"),
  reset: async (workspace) => await workspace.reset("baseline", call),
};

for (const [name, end] of Object.entries(ENDS)) {
  test(`stopped: there is a reason while a machine ends, of ${name}`, async () => {
    await using host = new FakeHost();
    const all = await host.workspaces();
    const workspace = await all.create(NEW_WORKSPACE, call);
    let looks = 0;
    const look = (): void => {
      if (workspace.machine !== undefined) return;
      looks += 1;
      assert.ok(workspace.record.stopped !== null, "it has no machine, and does not say why");
    };
    host.machines.onChange(look);
    await end(workspace);
    assert.ok(looks > 0, "its machine ended");
    await all.close();
  });
}
