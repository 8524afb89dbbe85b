/** The built MCP server over stdio, as an agent's host uses it, with a real guest behind it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { CLI, client as sdkClient, machineDirectories, until } from "../support/guest-host.ts";

const ENVIRONMENT = "debian:12";
/** From a cancelled call to the end of its machine. */
const GONE_MS = 2000;
/** The first call may make the template. */
const timeout = { timeout: 120_000 };

interface Answer {
  readonly isError?: boolean | undefined;
  readonly structuredContent?: unknown;
  readonly content?: unknown;
}

const sdk = sdkClient();
const client = new Client({ name: "test", version: "1" });

before(async () => {
  const env = Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  await client.connect(new StdioClientTransport({ command: process.execPath, args: [CLI, "mcp", "serve"], env }));
});
after(async () => await client.close());

const run = async (command: string | string[], more: Record<string, unknown> = {}): Promise<Answer> =>
  await client.callTool({ name: "run", arguments: { environment: ENVIRONMENT, command, ...more } }, timeout);

const textOf = ({ content }: Answer): string => (content as { text: string }[])[0]?.text ?? "";

test("mcp: the tools are listed with schemas that say what they take and give", async () => {
  const { tools } = await client.listTools();
  const tool = tools.find(({ name }) => name === "run");
  assert.deepEqual(tool?.inputSchema.required, ["environment", "command"]);
  assert.match(JSON.stringify(tool?.outputSchema), /"exit_code"/);
});

test("mcp: run answers with what a command did in a guest, a failing one too", async () => {
  const answer = await run("uname -s; exit 3");
  assert.notEqual(answer.isError, true, textOf(answer));
  const { exit_code: code, stdout, cleanup } = answer.structuredContent as Record<string, unknown>;
  assert.deepEqual([code, stdout], [3, "Linux\n"]);
  assert.equal((cleanup as { deleted: boolean }).deleted, true);
  assert.deepEqual(JSON.parse(textOf(answer)), answer.structuredContent);
});

test("mcp: an error has the fields that every front end gives it", async () => {
  const answer = await client.callTool({ name: "run", arguments: { environment: "nix", command: ["true"] } });
  assert.equal(answer.isError, true);
  const { error } = JSON.parse(textOf(answer)) as { error: { code: string; message: string; remedy: string } };
  assert.equal(error.code, "not_found");
  assert.match(error.message, /nix/);
  assert.match(`${error.message} ${error.remedy}`, /debian:12-build/, "it names what there is");
  await assert.rejects(sdk.run({ environment: "nix", command: ["true"] }), {
    code: error.code,
    message: error.message,
    remedy: error.remedy,
  });
});

test("mcp: cancelling a call ends its machine, and the next call works", async () => {
  const controller = new AbortController();
  let id = "";
  let wasThere = false;
  const call = client.callTool(
    { name: "run", arguments: { environment: ENVIRONMENT, command: ["sleep", "600"], timeout_seconds: 900 } },
    {
      ...timeout,
      signal: controller.signal,
      onprogress: ({ message }) => {
        const [, running] = /^phase=execute vm_id=(\w+)$/.exec(message ?? "") ?? [];
        if (running === undefined) return;
        id = running;
        wasThere = machineDirectories().includes(id);
        controller.abort();
      },
    },
  );
  await assert.rejects(call);
  assert.ok(wasThere, "there was a machine to end");
  await until(() => !machineDirectories().includes(id), GONE_MS, "the machine is gone");
  assert.equal(((await run(["echo", "works"])).structuredContent as { stdout: string }).stdout, "works\n");
});
