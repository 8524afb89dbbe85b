/** Paths of the host that an MCP client names. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { PyroError } from "../../../src/contract/error.ts";
import { allOperations } from "../../../src/contract/operations.ts";
import { AllowedPaths } from "../../../src/mcp/allowed-paths.ts";
import { CLI, FakeHost } from "../../support/fake-host.ts";

let root = "";
const at = (...names: string[]): string => join(root, ...names);

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "pyro-allowed-")));
  for (const name of ["project/src", "project-2", "other", "home"]) mkdirSync(at(name), { recursive: true });
  writeFileSync(at("other", "secret"), "secret");
  symlinkSync(at("other"), at("project", "out"));
  symlinkSync(at("project", "src"), at("project", "in"));
  symlinkSync(at("nowhere"), at("project", "dangling"));
});
afterEach(() => rmSync(root, { recursive: true }));

const READ = { path: { whole: true } };
const MADE = { path: { whole: false } };

async function allowed(...more: string[]): Promise<AllowedPaths> {
  return await AllowedPaths.of(more, { cwd: at("project"), home: at("home") });
}

const denied = async (work: Promise<unknown>): Promise<void> =>
  await assert.rejects(work, (failure: unknown) => {
    assert.ok(PyroError.is(failure) && failure.code === "permission_denied", String(failure));
    return true;
  });

test("allowed paths: what is below the working directory is taken as it is without links, and nothing beside it", async () => {
  const paths = await allowed();
  for (const [path, real] of [
    [at("project"), at("project")],
    [at("project", "in", "new"), at("project", "src", "new")],
    [at("project", "src", "..", "src"), at("project", "src")],
    [at("project", "not", "yet"), at("project", "not", "yet")],
  ]) {
    assert.deepEqual(await paths.checked({ path, more: 1 }, READ), { path: real, more: 1 });
  }
  for (const path of [
    "/",
    at("other"),
    at("project-2"),
    at("project", "..", "other"),
    at("project", "out"),
    at("project", "out", "secret"),
    at("project", "out", "new"),
    at("project", "dangling"),
    at("project", "dangling", "new"),
    `${at("project")}\0`,
  ]) {
    await denied(paths.checked({ path }, READ));
  }
});

test("allowed paths: what is made takes the place of a link, and never of the directory itself or of git's hooks", async () => {
  const paths = await allowed();
  assert.deepEqual(await paths.checked({ path: at("project", "out") }, MADE), { path: at("project", "out") });
  for (const path of [
    at("project"),
    at("project", "out", "new"),
    at("project", "dangling", "new"),
    at("project", ".git"),
    at("project", ".Git", "hooks", "pre-commit"),
    at("other", "new"),
    "/",
  ]) {
    await denied(paths.checked({ path }, MADE));
  }
});

test("allowed paths: further directories are taken too, one that is not there never, and the root and a home only when named", async () => {
  const more = await allowed(at("project", "out"));
  assert.deepEqual(more.roots, [at("project"), at("other")]);
  assert.deepEqual(await more.checked({ path: at("other", "secret") }, READ), { path: at("other", "secret") });
  await assert.rejects(allowed(at("nowhere")), { code: "invalid_argument" });
  for (const cwd of ["/", at("home")]) {
    const none = await AllowedPaths.of([], { cwd, home: at("home") });
    await denied(none.checked({ path: join(cwd, "x") }, READ));
    await denied(none.checked({}, { path: { whole: true, absent: "." } }));
    const named = await AllowedPaths.of([cwd], { cwd, home: at("home") });
    assert.deepEqual(await named.checked({ path: join(cwd, "x") }, READ), { path: join(cwd, "x") });
  }
});

test("allowed paths: every input that names a place of the host is one that is checked", () => {
  const said = allOperations().flatMap(({ name, mcp, input, plumbing = [] }) =>
    Object.entries(input.shape)
      .filter(([field, schema]) => mcp !== null && !plumbing.includes(field) && /\bhost\b/.test(descriptionOf(schema)))
      .map(([field]) => `${name} ${field}`),
  );
  const checked = allOperations().flatMap(({ name, hostPaths = {} }) =>
    Object.keys(hostPaths).map((field) => `${name} ${field}`),
  );
  assert.deepEqual(
    said.filter((each) => !checked.includes(each) && !NO_PATHS.has(each)),
    [],
  );
  assert.ok(checked.length >= 4);
  assert.deepEqual(
    checked.filter((each) => !said.includes(each)),
    [],
  );
});

/** Fields that speak of the host and name no place of it. */
const NO_PATHS: ReadonlySet<string> = new Set(["run machine", "workspace.create machine", "workspace.pull branch"]);

const descriptionOf = (schema: unknown): string => (schema as { description?: string }).description ?? "";

test("allowed paths: a client is refused what its server was not started for, before anything is asked of pyro's server", async () => {
  await using host = new FakeHost();
  await host.serve();
  const env = Object.fromEntries(
    Object.entries(host.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const args = [CLI, "mcp", "serve", "--allow-path", at("project-2")];
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StdioClientTransport({ command: process.execPath, args, env, cwd: at("project") }));
  try {
    assert.match(client.getInstructions() ?? "", new RegExp(`below ${at("project")}, ${at("project-2")}\\.`));
    for (const [name, given] of [
      ["workspace_create", { environment: "debian:12", seed_path: "out" }],
      ["workspace_sync_push", { workspace: "any", source_path: "../other" }],
      ["workspace_export", { workspace: "any", path: ["a"], output_path: at("other", "new") }],
      ["workspace_pull", { workspace: "any", branch: "b", repository: at("other") }],
    ] as const) {
      const { isError, content } = await client.callTool({ name, arguments: given });
      const [text] = content as { text: string }[];
      const { error } = JSON.parse(text?.text ?? "") as { error: { code: string; remedy: string } };
      assert.deepEqual([isError, error.code], [true, "permission_denied"], `${name}: ${text?.text}`);
      assert.match(error.remedy, /--allow-path/);
    }
    const made = await client.callTool({
      name: "workspace_export",
      arguments: { workspace: "any", path: ["a"], output_path: at("project-2", "new") },
    });
    assert.match(JSON.stringify(made.content), /not_found/, "it is allowed, and there is no such workspace");
  } finally {
    await client.close();
  }
});
