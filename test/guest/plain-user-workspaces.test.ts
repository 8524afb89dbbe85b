/** A workspace's whole life as a user who is not root: the CLI, server, machines and files are that user's own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cliAsPlainUser, makePlainUser, PLAIN_USER } from "../support/plain-user.ts";

const notRoot = process.getuid?.() === 0 ? false : "only root can become another user";

test(
  "plain user: a workspace is made of a directory, used, kept, taken back, grown, stopped and deleted",
  { skip: notRoot },
  async () => {
    const scratch = mkdtempSync("/tmp/pyro-plain-");
    chmodSync(scratch, 0o755);
    const user = makePlainUser(join(scratch, "home"));
    const project = join(scratch, "home", "project");
    mkdirSync(project);
    writeFileSync(join(project, "file"), "from the host\n");
    execFileSync("chown", ["-R", `${PLAIN_USER}:${PLAIN_USER}`, project]);
    const ws = async (...words: string[]): Promise<string> => await cliAsPlainUser(user, ["workspace", ...words]);
    try {
      assert.match(await ws("create", "debian:12", "--name", "api", "--seed-path", project), /^State: started$/m);
      const change = "cat file; id -u; echo mine > file; echo root > /etc/own";
      assert.equal(await ws("exec", "api", "--", "sh", "-c", change), "from the host\n0\n");
      assert.match(await ws("snapshot", "create", "api", "one"), /snapshot_name=one/);
      await ws("exec", "api", "--", "rm", "file");
      assert.match(await ws("stop", "api"), /^State: stopped$/m);
      assert.match(await ws("start", "api"), /^State: started$/m);
      assert.equal(await ws("exec", "api", "--", "sh", "-c", "ls; cat /etc/own"), "root\n");
      assert.match(await ws("reset", "api", "--snapshot", "one"), /^Reset count: 1$/m);
      assert.equal(await ws("exec", "api", "--user", "1000", "--", "sh", "-c", "cat file; id -u"), "mine\n1000\n");
      await ws("update", "api", "--volume-gib", "80");
      assert.match(await ws("status", "api"), /^Volume: 80\.0 GiB$/m);
      assert.match(await ws("delete", "api", "--force"), /^Deleted workspace/);
      assert.match(await ws("restore", "api"), /^State: stopped$/m);
      assert.match(await ws("delete", "api", "--force", "--purge"), /^Deleted workspace/);
    } finally {
      await cliAsPlainUser(user, ["server", "stop", "--force"]);
      rmSync(scratch, { recursive: true });
    }
  },
);
