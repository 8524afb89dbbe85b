/** What is awkward or goes wrong while files go in and out: depth, names, full disks, and trees that change. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { CLI, client, until } from "../support/guest-host.ts";
import { childrenOf } from "../support/host-children.ts";
import { CaseWorkspace, inWorkspace } from "../support/case-workspace.ts";
import { LOOK, lookAt } from "../support/trees.ts";

const DEPTH = 3000;
const DEADLINE_MS = 30_000;

const pyro = client();
const context = { pyro, memory: {} };
const host = mkdtempSync(join(tmpdir(), "pyro-faults-"));
const at = (...names: string[]): string => join(host, ...names);
after(() => execFileSync("rm", ["-rf", host]));

/** Directories below each other, and a file in the last one. */
const DEEP = `perl -e 'for (1..${DEPTH}) { mkdir "d"; chdir "d" or die $! } open F, ">", "leaf"; print F "$ARGV[0]\\n"'`;
/** Whatever is there, with the content of its files, by calls that take paths of any length. */
const DEEP_LOOK = "find . -mindepth 1 -printf '%d %f %m %T@\\n'; find . -name leaf -execdir cat {} +";

const deepLook = (directory: string): string =>
  execFileSync("sh", ["-c", DEEP_LOOK], { cwd: directory, encoding: "utf8" });

test("file faults: a tree 3,000 directories deep goes in and out every way, and is listed, edited and deleted", async () => {
  mkdirSync(at("deep"));
  execFileSync("sh", ["-c", `${DEEP} first`], { cwd: at("deep") });
  const wanted = deepLook(at("deep"));
  const seed = at("deep");
  const { workspace_id: id } = await pyro.workspace.create({ environment: "debian:12", seed_path: seed });
  const it = new CaseWorkspace(pyro, id, seed);
  assert.equal(await it.sh(DEEP_LOOK), wanted);
  const pushed = await pyro.workspace.sync.push({ workspace: id, source_path: seed, dest: "in" });
  assert.equal(pushed.workspace_sync.entry_count, DEPTH + 1);
  // Once more, over what is there: every level of it is looked at on both sides.
  const again = await pyro.workspace.sync.push({ workspace: id, source_path: seed, dest: "in" });
  assert.equal(again.workspace_sync.replaced_count, 1);
  assert.equal(await it.sh(`cd in && ${DEEP_LOOK}`), wanted);
  await pyro.workspace.export({ workspace: id, path: ["in"], output_path: at("out") });
  assert.equal(deepLook(at("out")), wanted);
  await pyro.workspace.export({ workspace: id, path: ["in"], output_path: at("out"), overwrite: true });
  assert.equal(deepLook(at("out")), wanted);
  assert.ok(!readdirSync(host).some((name) => name.startsWith(".pyro-")), "what was replaced is gone");
  const leaf = `${"d/".repeat(DEPTH)}leaf`;
  assert.equal((await pyro.workspace.file.read({ workspace: id, path: leaf })).content, "first\n");
  await pyro.workspace.file.edit({ workspace: id, path: leaf, old: "first", new: "second" });
  const search = { workspace: id, pattern: "second", path: "d" };
  const { lines } = await pyro.workspace.file.search(search);
  assert.deepEqual([lines.length, lines[0]?.path], [1, leaf]);
  const listed: string[] = [];
  // An answer holds so many bytes of paths, and says where the next one goes on.
  for (let next: string | null | undefined; next !== null;) {
    const from = next === undefined ? {} : { after: next };
    const part = await pyro.workspace.file.list({ workspace: id, path: "d", recursive: true, limit: 10_000, ...from });
    listed.push(...part.entries.map(({ path }) => path));
    next = part.next;
  }
  assert.deepEqual([listed.length, new Set(listed).size, listed.at(-1)], [DEPTH, DEPTH, leaf]);
  await it.sh("rm -r in d");
  await pyro.workspace.delete({ workspace: id, force: true, purge: true });
  await pyro.env.prune();
});

/** Names that differ in little, cannot be typed, or would drive a terminal. */
const NAMES = [
  Buffer.from("README"),
  Buffer.from("readme"),
  Buffer.from("caf\u00e9"),
  Buffer.from("cafe\u0301"),
  Buffer.from([0x62, 0xff]),
  Buffer.from([0x62, 0xfe]),
  Buffer.from([0xc0, 0xaf]),
  Buffer.from("bell\u0007 and \u001b]0;title\u0007\u001b[31m"),
  Buffer.from("line\nbreak"),
  Buffer.from("over\rwritten"),
  Buffer.from("txt.\u202eexe"),
  Buffer.from(" leading and trailing "),
  Buffer.from("-rf"),
  Buffer.from("back\\slash \"quote\" 'single' *?[x]"),
];
/** What would do something to a terminal, besides the end of a line. */
const DRIVES = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

test("file faults: names that differ only in case or invalid bytes stay apart, and none drives a terminal", async () => {
  mkdirSync(at("names"));
  for (const name of NAMES) writeFileSync(Buffer.concat([Buffer.from(`${at("names")}/`), name]), name);
  await inWorkspace(context, {
    name: "names",
    run: async (it) => {
      const { id } = it;
      await pyro.workspace.sync.push({ workspace: id, source_path: at("names"), dest: "in" });
      assert.equal(await it.sh(`cd in && ${LOOK}`), lookAt(at("names")));
      await pyro.workspace.export({ workspace: id, path: ["in"], output_path: at("names-out") });
      assert.equal(lookAt(at("names-out")), lookAt(at("names")));
      const { entries } = await pyro.workspace.file.list({ workspace: id, path: "in" });
      const exact = entries.map(({ path, path_base64: bytes }) =>
        (bytes === undefined ? Buffer.from(path) : Buffer.from(bytes, "base64")).subarray("in/".length).toString("hex"),
      );
      assert.deepEqual(exact.toSorted(), NAMES.map((name) => name.toString("hex")).toSorted());
      await it.sh('for name in in/*; do mkfifo "$name.pipe"; done; ln -s "$(printf \'\\033[2J\')" in/link');
      for (const words of [
        ["file", "list", id, "--path", "in"],
        ["file", "search", id, "."],
        ["diff", id, "--name-only"],
        ["diff", id, "--stat"],
        ["export", id, "in", "--output", at("names-out"), "--overwrite"],
        ["sync", "push", id, at("names"), "--dest", "in"],
        ["file", "read", id, "in/none\u001b[31m"],
        ["export", id, "in/\u001b[31m", "--output", at("none\u001b[31m")],
      ]) {
        const { stdout, stderr } = spawnSync(process.execPath, [CLI, "workspace", ...words], { encoding: "utf8" });
        assert.doesNotMatch(stdout + stderr, DRIVES, words.join(" "));
      }
      const json = JSON.parse(
        execFileSync(process.execPath, [CLI, "workspace", "file", "list", id, "--path", "in", "--json"], {
          encoding: "utf8",
        }),
      ) as { entries: { path: string }[] };
      assert.ok(
        json.entries.some(({ path }) => path === `in/${NAMES[7]?.toString()}`),
        "exact in JSON",
      );
    },
  });
});

test("file faults: a push into a volume that is full says so with its remedy, and changes nothing", async () => {
  mkdirSync(at("large", "sub"), { recursive: true });
  for (let number = 0; number < 20; number += 1)
    writeFileSync(at("large", "sub", `f${number}`), Buffer.alloc(1024 ** 2, number + 1));
  writeFileSync(at("large", "file"), "new");
  await inWorkspace(context, {
    name: "full volume",
    run: async (it) => {
      const { id } = it;
      await it.sh(
        "echo old > file; mkdir sub; echo old > sub/f1; i=0; for size in 8G 1G 64M 8G 1G 64M 4M 1M 4M 1M; do while fallocate -l $size fill-$size-$i; do i=$((i + 1)); done; sync; done 2> /dev/null",
      );
      const look = "find . -printf '%p %m %U %T@ %s\\n' | sort; cat file sub/f1";
      const before = await it.sh(look);
      const full = async (work: Promise<unknown>): Promise<void> =>
        await assert.rejects(work, (error: unknown) => {
          assert.ok(PyroError.is(error) && error.code === "resource_exhausted", String(error));
          assert.match(error.remedy ?? "", /--volume-gib/);
          return true;
        });
      await full(pyro.workspace.sync.push({ workspace: id, source_path: at("large") }));
      assert.equal(await it.sh(look), before);
      await full(pyro.workspace.file.write({ workspace: id, path: "file", text: "x".repeat(1024 ** 2 - 1) }));
      assert.equal(await it.sh(look), before);
    },
  });
});

test("file faults: a tree that changes while it is exported comes out as it was at one moment", async () => {
  await inWorkspace(context, {
    name: "changing",
    run: async (it) => {
      const { id } = it;
      await it.sh("mkdir t; head -c 48M /dev/urandom > t/m; echo 0 > t/a; echo 0 > t/z");
      // Each file is whole at any moment: what is read of one is what was written at once.
      const script =
        "n=0; while :; do n=$((n + 1)); for name in a z; do echo $n > .new; mv .new t/$name; done; [ $((n % 50)) = 0 ] && mv t/m t/m2 && mv t/m2 t/m; done";
      const { exec_id } = await pyro.workspace.command.start({ workspace: id, command: script });
      const isBegun = async (): Promise<boolean> => (await it.sh("cat t/z")) !== "0\n";
      await until(isBegun, DEADLINE_MS, "it changes");
      for (let count = 0; count < 3; count += 1) {
        const request = { workspace: id, path: ["t"], output_path: at("changing"), overwrite: true };
        const { entry_count: entries } = await pyro.workspace.export(request);
        const [first, last] = ["a", "z"].map((name) => Number(readFileSync(at("changing", name), "utf8")));
        assert.equal(entries, 4);
        assert.ok(
          first !== undefined && last !== undefined && first - last >= 0 && first - last <= 1,
          `${first}, ${last}`,
        );
        assert.ok(first > count, "it goes on meanwhile");
      }
      await pyro.workspace.command.kill({ workspace: id, exec_id, signal: "KILL" });
    },
  });
});

test("file faults: a server that is killed with the writer of its export leaves what the next one removes", async () => {
  await inWorkspace(context, {
    name: "killed export",
    run: async (it) => {
      const { id } = it;
      await it.sh("mkdir t; head -c 64M /dev/zero > t/large");
      mkdirSync(at("killed"));
      writeFileSync(at("killed", "target"), "old");
      const request = { workspace: id, path: ["t"], output_path: at("killed", "target"), overwrite: true };
      const { pid } = await pyro.server.status();
      const server = pid ?? assert.fail("there is no server");
      let isShot = false;
      const exporting = pyro.workspace.export(request, {
        onEvent: ({ bytes }) => {
          if (isShot || bytes === 0) return;
          isShot = true;
          // The writer first: by itself it would notice that its server is gone, and remove what it has made.
          const writers = childrenOf(server, "pyro-seed");
          process.kill(server, "SIGSTOP");
          for (const writer of writers) process.kill(writer, "SIGKILL");
          process.kill(server, "SIGKILL");
        },
      });
      await assert.rejects(exporting);
      assert.equal(readdirSync(at("killed")).length, 2, "there is something to be removed");
      await pyro.workspace.status({ workspace: id });
      await until(() => readdirSync(at("killed")).length === 1, DEADLINE_MS, "what was left is removed");
      assert.equal(readFileSync(at("killed", "target"), "utf8"), "old");
      await pyro.workspace.export(request);
      assert.deepEqual(readdirSync(at("killed", "target")), ["large"]);
    },
  });
  rmSync(at("killed"), { recursive: true });
});
