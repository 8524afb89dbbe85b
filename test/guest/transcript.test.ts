/** The first-run transcript, run as printed; docs/transcript-differences.md says what may differ. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import { CliProcess } from "../support/cli-process.ts";
import { client, paths } from "../support/guest-host.ts";
import { compare, differences, type TranscriptStep, transcriptSteps } from "../support/transcript.ts";

const ENVIRONMENT = "debian:12";
/** The transcript's place of pyro's cache, in a home directory that is anybody's. */
const CACHE_IN_DOCUMENT = "/home/you/.cache/pyro";

const stepsOf = (path: string): TranscriptStep[] => transcriptSteps(readFileSync(path, "utf8").replaceAll(/,$/gm, ""));
const steps = stepsOf("test/guest/first-run-transcript.txt");
/** Of the transcript's workspace, what can be done by now. */
const workspaceSteps = stepsOf("test/guest/workspace-transcript.txt");
const listed = differences(readFileSync("docs/transcript-differences.md", "utf8"));
const sdk = client();

for (const step of steps) {
  test(`transcript: pyro ${step.words.join(" ")} prints what it shows, but for what is listed`, async () => {
    // The transcript shows a second pull and a second run: a first one also tells how far it is.
    await sdk.env.pull({ environment: ENVIRONMENT });
    using cli = new CliProcess(step.words);
    cli.child.stdin?.end();
    const { code, stdout, stderr } = await cli.end();
    assert.equal(code, 0, stderr);
    // What goes to standard error comes first, as the transcript has it.
    const printed = `${stderr}${stdout.toString()}`
      .replaceAll(paths.cache, CACHE_IN_DOCUMENT)
      .split("\n")
      .map((line) => (step.words[0] === "demo" ? line.trim().replace(/,$/, "") : line))
      .filter((line) => line !== "");
    assert.deepEqual(compare(step, printed, listed), []);
  });
}

test("transcript: a workspace's commands print what it shows, but for what is listed", async () => {
  let id = "";
  const repo = mkdtempSync(join(tmpdir(), "pyro-repo-"));
  after(() => rmSync(repo, { recursive: true }));
  const changes = join(repo, "changes");
  mkdirSync(changes);
  writeFileSync(join(changes, "note.txt"), "hello from synced workspace\n");
  mkdirSync(join(repo, "src"));
  writeFileSync(join(repo, "src", "note.txt"), "hello\n");
  const note = join(repo, "note.txt");
  for (const step of workspaceSteps) {
    const here = (path: string): string => relative(process.cwd(), path);
    const places = { "./repo": here(repo), "./changes": here(changes), "./note.txt": here(note) };
    const words: Readonly<Record<string, string>> = { WORKSPACE_ID: id, ...places };
    using cli = new CliProcess(step.words.map((word) => words[word] ?? word));
    cli.child.stdin?.end();
    const { code, stdout, stderr } = await cli.end();
    assert.equal(code, 0, stderr);
    const printed = `${stdout.toString()}${stderr}`.split("\n").filter((line) => line !== "");
    assert.deepEqual(compare(step, printed, listed), []);
    if (id === "") id = /^Workspace ID: (.+)$/m.exec(stdout.toString())?.[1] ?? "";
  }
  assert.equal(readFileSync(note, "utf8"), "hello from synced workspace\n");
  await sdk.workspace.delete({ workspace: id, force: true, purge: true });
});

test("transcript: every listed difference belongs to a command of it, and to a line of that command", () => {
  const strays = listed.filter(({ command, theirs }) => {
    const step = [...steps, ...workspaceSteps].find(({ words }) => words.join(" ").startsWith(command));
    return step === undefined || (theirs !== "" && !step.lines.includes(theirs));
  });
  assert.deepEqual(strays, []);
});

test("transcript: an unlisted difference is found, and a listed one that is gone", () => {
  const step = { words: ["run"], lines: ["one", "two ...", "three"] };
  const change = { command: "run", theirs: "one", ours: "eins", when: "always" } as const;
  const addition = { command: "run", theirs: "", ours: "more ...", when: "always" } as const;
  assert.deepEqual(compare(step, ["eins", "two 2", "more 1", "three"], [change, addition]), []);
  for (const printed of [
    ["one", "two 2", "more 1", "three"],
    ["eins", "two 2", "three"],
    ["eins", "more 1", "two 2", "three", "four"],
    ["eins", "more 1", "two 2"],
    ["two 2", "eins", "more 1", "three"],
  ]) {
    assert.notDeepEqual(compare(step, printed, [change, addition]), [], printed.join("; "));
  }
});
