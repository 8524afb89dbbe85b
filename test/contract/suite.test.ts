/** The suite counts honestly: what failed, hung, was skipped in silence or ran nothing is a failure. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { spawn, spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, describe, it } from "node:test";

const suite = (name: string) => import(pathToFileURL(`scripts/suite/${name}.mjs`).href);
const { dueHere, readHarnessOutput } = await suite("cargo-tests");
const { leftovers, end } = await suite("leftovers");
const { select, STAGES } = await suite("stages");
const { Tally } = await suite("tally");

/** A test file's source, and the verdicts that the reporter must give for it, as `kind name`. */
const FILES: Readonly<Record<string, { source: string; verdicts: readonly string[] }>> = {
  passes: {
    source: 'test("a", () => {}); describe("s", () => { it("b", () => {}); });',
    verdicts: ["passed a", "passed b"],
  },
  fails: { source: 'describe("s", () => { it("b", () => { throw new Error("x"); }); });', verdicts: ["failed b"] },
  empty: { source: "", verdicts: ["failed empty.mjs"] },
  crashes: { source: 'test("a", () => {}); process.exit(3);', verdicts: ["failed crashes.mjs"] },
  hangs: {
    source: 'test("a", async () => { await new Promise(() => setInterval(() => {}, 1000)); });',
    verdicts: ["failed hangs.mjs"],
  },
  leaks: { source: 'test("a", () => { setInterval(() => {}, 1000); });', verdicts: ["passed a", "failed leaks.mjs"] },
  silent: { source: 'test("a", { skip: true }, () => {});', verdicts: ["failed a"] },
  says: { source: 'test("a", (t) => t.skip("no KVM"));', verdicts: ["skipped a"] },
  later: { source: 'test("a", { todo: true }, () => {});', verdicts: ["failed a"] },
};

describe("the reporter", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "pyro-reporter-"));
    mkdirSync(join(folder, "cases"));
    const imports = 'import { describe, it, test } from "node:test";\n';
    for (const [name, { source }] of Object.entries(FILES))
      writeFileSync(join(folder, "cases", `${name}.mjs`), imports + source);
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const [name, { verdicts }] of Object.entries(FILES)) {
    it(`counts a file that ${name} as ${verdicts.join(", ")}`, () => {
      const reporter = [
        "--test-reporter",
        resolve("scripts/suite/reporter.mjs"),
        "--test-reporter-destination",
        "stdout",
      ];
      const file = join(folder, "cases", `${name}.mjs`);
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const { stdout } = spawnSync(process.execPath, ["--test", "--test-timeout=2000", ...reporter, file], {
        env,
        encoding: "utf8",
      });
      const lines = stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as { kind: string; name: string });
      assert.deepEqual(
        lines.map((line) => `${line.kind} ${line.name.split("/").at(-1)}`),
        verdicts,
      );
    });
  }
});

describe("the suite", () => {
  it("reads what cargo's test harness says", () => {
    const output = "test a::b ... ok\ntest c ... FAILED\ntest d ... ignored, needs root\ntest e ... ignored\n";
    assert.deepEqual(readHarnessOutput(output), {
      passed: 1,
      failed: [
        { name: "c", reason: "failed" },
        { name: "e", reason: "ignored without a reason" },
      ],
      skipped: [{ name: "d", reason: "needs root" }],
    });
  });

  it("runs what cargo ignores where the host has what it is ignored for, and lists the rest", () => {
    const ignored = [
      { name: "a", reason: "needs root" },
      { name: "b", reason: "needs root and cgroup v2" },
      { name: "c", reason: "needs root" },
    ];
    const asked: string[] = [];
    const isHere = (reason: string): boolean => asked.push(reason) > 0 && reason === "needs root";
    assert.deepEqual(dueHere(ignored, isHere), { due: ["a", "c"], skipped: [ignored[1]] });
    assert.deepEqual(asked, ["needs root", "needs root and cgroup v2"], "each is found out once");
  });

  it("ends with the line that CI reads, below what failed and what was skipped and why", () => {
    const tally = new Tally();
    tally.passed = 3;
    tally.fail("unit", "a test", "boom\nmore");
    tally.skips.push({ stage: "guest", name: "another", reason: "no KVM" });
    const lines = tally.summary().split("\n");
    assert.equal(lines.at(-1), "3 passed, 1 failed");
    assert.ok(lines.includes("  unit: a test: boom") && lines.includes("  guest: another: no KVM"));
  });

  it("selects stages by name and files by a part of their path, and refuses a word that is neither", () => {
    const files = ["test/unit/scope.test.ts", "test/guest/run.test.ts"];
    const names = (words: string[]): unknown =>
      select(words, files).stages.map((stage: { name: string }) => stage.name);
    assert.equal(select([], files).stages, STAGES);
    assert.deepEqual(names(["unit"]), ["types", "unit"]);
    assert.deepEqual(names(["scope"]), ["types", "unit"]);
    assert.deepEqual([...select(["scope"], files).only], ["test/unit/scope.test.ts"]);
    assert.throws(() => select(["nonsense"], files), /no stage and no test file is called nonsense/);
  });

  it("finds a process that was left behind, and ends it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "pyro-left-"));
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { cwd: folder, stdio: "ignore" });
    const ended = new Promise((done) => child.once("exit", (_, signal) => done(signal)));
    const found = (await leftovers(folder, 0)) as { pid: number }[];
    assert.deepEqual(
      found.map(({ pid }) => pid),
      [child.pid],
    );
    end(found);
    assert.equal(await ended, "SIGKILL");
    assert.deepEqual(await leftovers(folder), []);
    rmSync(folder, { recursive: true });
  });
});
