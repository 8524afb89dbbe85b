/** Files in and out on the host's own machine: the table's cases. */
import { test } from "node:test";
import { FILE_CASES } from "../support/file-cases.ts";
import { client } from "../support/guest-host.ts";
import { inWorkspace } from "../support/workspace-cases.ts";

const context = { pyro: client(), memory: {} };

for (const each of FILE_CASES) {
  test(`files: ${each.name}`, async () => await inWorkspace(context, each));
}
