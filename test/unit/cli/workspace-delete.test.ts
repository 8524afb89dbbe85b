/** Deleting a workspace whose files were changed, on a terminal of this host. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLI, FakeHost } from "../../support/fake-host.ts";
import { PseudoTerminal } from "../../support/pseudo-terminal.ts";

/** Deletes it with a person in front of the terminal who answers so; all that it shows. */
async function answered(host: FakeHost, words: readonly string[], answer: string): Promise<string> {
  const run = ["ws", "delete", "api", ...words];
  using terminal = new PseudoTerminal('"$@"; echo "status $?"', [process.execPath, CLI, ...run], host.env);
  await terminal.shows(/were changed since it was made\. Delete it\? \[y\/N\] /);
  terminal.type(`${answer}\n`);
  return await terminal.end();
}

test("workspace delete: on a terminal it asks for one whose files were changed, and only yes deletes it", async () => {
  await using host = new FakeHost();
  await host.serve();
  await host.cli(["ws", "create", "debian:12", "--name", "api"]);
  await host.cli(["ws", "exec", "api", "--", "touch"]);
  // Stopped ones are known to be changed without being started.
  await host.cli(["ws", "stop", "api"]);
  for (const answer of ["n", "", "yesterday"]) {
    assert.match(await answered(host, [], answer), /--force[^]*status 125\r\n$/);
    assert.equal((await host.cli(["ws", "status", "api"])).status, 0);
  }
  assert.match(await answered(host, [], "y"), /Deleted workspace: [^]*restorable for 7 days[^]*status 0\r\n$/);
  assert.equal((await host.cli(["ws", "status", "api"])).status, 125);
  await host.cli(["ws", "restore", "api"]);
  assert.match(await answered(host, ["--purge"], "YES"), /status 0\r\n$/);
  assert.equal((await host.cli(["ws", "list", "--deleted"])).stdout, "");
});

test("workspace delete: one whose files are as they were is deleted without a question", async () => {
  await using host = new FakeHost();
  await host.serve();
  await host.cli(["ws", "create", "debian:12", "--name", "api"]);
  assert.equal((await host.cli(["ws", "delete", "api"])).status, 0);
});
