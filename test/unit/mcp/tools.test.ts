import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { operations } from "../../../src/contract/operations.ts";
import { CLI, done, FakeHost } from "../../support/fake-host.ts";

interface Connected extends AsyncDisposable {
  readonly client: Client;
  readonly transport: StdioClientTransport;
}

async function connect(host: FakeHost): Promise<Connected> {
  const env = Object.fromEntries(
    Object.entries(host.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  const transport = new StdioClientTransport({ command: process.execPath, args: [CLI, "mcp", "serve"], env });
  const client = new Client({ name: "test", version: "1" });
  await client.connect(transport);
  return { client, transport, [Symbol.asyncDispose]: async () => await client.close() };
}

const textOf = (result: { content?: unknown }): string => (result.content as { text: string }[])[0]?.text ?? "";

test("there is one tool for every operation that has one, with schemas and hints", async () => {
  await using host = new FakeHost();
  await host.serve();
  await using connected = await connect(host);
  const { tools } = await connected.client.listTools();
  const names = tools.map(({ name }) => name).toSorted();
  assert.deepEqual(
    names.filter((name) => !name.startsWith("workspace_")),
    ["doctor", "env_inspect", "env_list", "env_prune", "env_pull", "run", "server_status"],
  );
  const ofWorkspaces =
    "create delete diff exec export flatten list logs pull reset restore start status stop update".split(" ");
  const ofSnapshots = ["snapshot_create", "snapshot_delete", "snapshot_list"];
  const ofCommands = ["command_attach", "command_kill", "command_list", "command_start"];
  const ofFiles = [
    ...["edit", "list", "read", "search", "write"].map((verb) => `file_${verb}`),
    "patch_apply",
    "sync_push",
  ];
  assert.deepEqual(
    names.filter((name) => name.startsWith("workspace_")),
    [...ofWorkspaces, ...ofCommands, ...ofFiles, ...ofSnapshots].toSorted().map((name) => `workspace_${name}`),
  );
  const run = tools.find(({ name }) => name === "run");
  const properties = Object.keys(run?.inputSchema.properties ?? {});
  assert.ok(properties.includes("environment") && properties.includes("timeout_seconds"));
  assert.equal(
    properties.some((name) => operations.run.plumbing?.includes(name)),
    false,
  );
  assert.equal(run?.inputSchema["additionalProperties"], false);
  assert.match(JSON.stringify(run?.outputSchema), /"exit_code"/);
  assert.equal(run?.annotations?.readOnlyHint, false);
  assert.equal(tools.find(({ name }) => name === "env_list")?.annotations?.readOnlyHint, true);
  assert.equal(tools.find(({ name }) => name === "env_prune")?.annotations?.destructiveHint, true);
});

test("run answers with structured content and the same as text", async () => {
  await using host = new FakeHost();
  await host.serve();
  await using connected = await connect(host);
  const result = await connected.client.callTool({
    name: "run",
    arguments: { environment: "debian:12", command: ["git", "--version"] },
  });
  assert.notEqual(result.isError, true);
  const structured = result.structuredContent as Record<string, unknown>;
  assert.equal(structured["stdout"], "git version 2.39.5\n");
  assert.equal(structured["exit_code"], 0);
  assert.deepEqual(JSON.parse(textOf(result)), structured);
  const script = await connected.client.callTool({
    name: "run",
    arguments: { environment: "debian:12", command: "ls | wc" },
  });
  assert.equal((script.structuredContent as Record<string, unknown>)["stdout"], `script ["-c","ls | wc"]\n`);
  const failing = await connected.client.callTool({
    name: "run",
    arguments: { environment: "debian:12", command: ["exit", "3"] },
  });
  assert.notEqual(failing.isError, true, "what the command did is a result");
  assert.equal((failing.structuredContent as Record<string, unknown>)["exit_code"], 3);
});

test("a failure is an error with the fields of every front end", async () => {
  await using host = new FakeHost();
  await host.serve();
  await using connected = await connect(host);
  const errorOf = async (
    args: Record<string, unknown>,
  ): Promise<{ code: string; message: string; remedy?: string }> => {
    const result = await connected.client.callTool({ name: "run", arguments: args });
    assert.equal(result.isError, true);
    return (JSON.parse(textOf(result)) as { error: { code: string; message: string } }).error;
  };
  assert.deepEqual(await errorOf({ environment: "nix", command: ["true"] }), {
    code: "not_found",
    message: "there is no environment nix",
    remedy: "known are debian:12, debian:12-base",
  });
  assert.equal(
    (await errorOf({ environment: "debian:12", command: ["true"], vcpu_count: 99 })).code,
    "invalid_argument",
  );
  const asked = { environment: "debian:12", command: ["true"], machine: "firecracker" };
  assert.deepEqual(await errorOf(asked), { code: "host_unsupported", message: "this host has no Firecracker" });
  assert.equal((await errorOf({ ...asked, machine: "vmware" })).code, "invalid_argument");
  const unknown = await errorOf({ environment: "debian:12", command: ["true"], seed: "/etc" });
  assert.equal(unknown.code, "invalid_argument");
  assert.match(unknown.message, /seed/);
  assert.match((await errorOf({ environment: "debian:12" })).message, /command/);
  assert.equal(
    (await errorOf({ environment: "debian:12", command: ["true"], output: "stream" })).code,
    "invalid_argument",
  );
});

test("progress is told to who asks for it, in growing numbers", async () => {
  await using host = new FakeHost();
  await host.serve();
  await using connected = await connect(host);
  const heard: { progress: number; message?: string | undefined }[] = [];
  // On the wire: this client forgets a progress whose answer comes in the same piece.
  const { transport } = connected;
  const { onmessage } = transport;
  Object.assign(transport, {
    onmessage: (message: Parameters<NonNullable<typeof onmessage>>[0]) => {
      if ("method" in message && message.method === "notifications/progress") heard.push(message.params as never);
      onmessage?.(message);
    },
  });
  await connected.client.callTool(
    { name: "run", arguments: { environment: "debian:12", command: ["true"] } },
    { onprogress: () => undefined },
  );
  assert.deepEqual(
    heard.map(({ message }) => message),
    ["phase=create environment=debian:12", "phase=start vm_id=000000000001", "phase=execute vm_id=000000000001"],
  );
  assert.deepEqual(
    heard.map(({ progress }) => progress),
    [1, 2, 3],
  );
});

test("a call that the host cancels ends its machine; others go on beside it", async () => {
  await using host = new FakeHost();
  await host.serve();
  await using connected = await connect(host);
  const controller = new AbortController();
  const call = connected.client.callTool(
    { name: "run", arguments: { environment: "debian:12", command: ["sleep"] } },
    {
      signal: controller.signal,
      onprogress: ({ message }) => void (message?.startsWith("phase=execute") === true && controller.abort()),
    },
  );
  await assert.rejects(call);
  await done(host, "close 000000000001");
  const after = await connected.client.callTool({ name: "env_list", arguments: {} });
  assert.notEqual(after.isError, true);
});

test("a host that goes away takes the machines of its calls along", async () => {
  await using host = new FakeHost();
  await host.serve();
  const connected = await connect(host);
  const call = connected.client.callTool({ name: "run", arguments: { environment: "debian:12", command: ["sleep"] } });
  call.catch(() => undefined);
  await done(host, "open 000000000001");
  process.kill(connected.transport.pid ?? 0, "SIGKILL");
  await done(host, "close 000000000001");
  await connected.client.close();
});
