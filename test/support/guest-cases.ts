/**
 * The one table of end-to-end cases: what a guest must do whatever the VMM. Every driver's test file runs all of them.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable, Writable } from "node:stream";
import type { TerminalSize } from "../../src/contract/run.ts";
import type { Machine } from "../../src/sdk/machine.ts";

export interface GuestCase {
  readonly name: string;
  readonly run: (machine: Machine) => Promise<void>;
}

/** A sink that keeps what it was given. */
export class Collector extends Writable {
  readonly #chunks: Buffer[] = [];
  #wanted: { text: string; resolve: () => void } | undefined;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    if (this.#wanted !== undefined && this.bytes.includes(this.#wanted.text)) this.#wanted.resolve();
    done();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Settles as soon as `text` has arrived. */
  async seen(text: string): Promise<void> {
    if (this.bytes.includes(text)) return;
    await new Promise<void>((resolve) => {
      this.#wanted = { text, resolve };
    });
  }
}

/** A promise to be opened from outside. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

const SIGINT = 2;

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

export const GUEST_CASES: readonly GuestCase[] = [
  {
    name: "a program with arguments runs without a shell",
    run: async (machine) => {
      const result = await machine.exec(["printf", "%s|", "a b", "$HOME", ""]);
      assert.equal(result.stdout, "a b|$HOME||");
      assert.equal(result.exit_code, 0);
    },
  },
  {
    name: "one string is a shell script",
    run: async (machine) => {
      assert.equal((await machine.exec("echo one two | wc -w")).stdout.trim(), "2");
    },
  },
  {
    name: "exit codes come through unchanged, also 255",
    run: async (machine) => {
      for (const code of [0, 1, 3, 255]) assert.equal((await machine.exec(`exit ${code}`)).exit_code, code);
    },
  },
  {
    name: "death by a signal is 128 plus its number, and named",
    run: async (machine) => {
      const result = await machine.exec(["sh", "-c", "kill -9 $$"]);
      assert.deepEqual([result.exit_code, result.signal], [137, 9]);
    },
  },
  {
    name: "not found is 127, not executable is 126, as a shell says it",
    run: async (machine) => {
      const missing = await machine.exec(["no-such-program"]);
      assert.equal(missing.exit_code, 127);
      assert.match(missing.stderr, /no-such-program.*not found/i);
      assert.equal((await machine.exec(["/etc/passwd"])).exit_code, 126);
    },
  },
  {
    name: "stdout and stderr stay apart",
    run: async (machine) => {
      const result = await machine.exec("echo out; echo err >&2");
      assert.deepEqual([result.stdout, result.stderr], ["out\n", "err\n"]);
    },
  },
  {
    name: "every byte value goes in and comes out untouched",
    run: async (machine) => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
      const result = await machine.exec(["cat"], { stdin: Readable.from([bytes]) });
      assert.equal(result.stdout_base64, bytes.toString("base64"));
    },
  },
  {
    name: "8 MiB through stdin and stdout, bit for bit",
    run: async (machine) => {
      const bytes = randomBytes(8 * 1024 * 1024);
      const stdout = new Collector();
      const result = await machine.exec(["cat"], { stdin: Readable.from([bytes]), stdout, timeout_seconds: 120 });
      assert.equal(result.exit_code, 0);
      assert.equal(sha256(stdout.bytes), sha256(bytes));
    },
  },
  {
    name: "output arrives while the command runs",
    run: async (machine) => {
      const stdout = new Collector();
      const stdin = new Readable({ read: () => undefined });
      // The command ends only after its first line was seen here.
      const running = machine.exec("echo started; cat", { stdin, stdout, timeout_seconds: 60 });
      await stdout.seen("started");
      stdin.push(null);
      assert.equal((await running).exit_code, 0);
    },
  },
  {
    name: "input that the command does not want is no failure",
    run: async (machine) => {
      const result = await machine.exec(["true"], { stdin: Readable.from([randomBytes(4 * 1024 * 1024)]) });
      assert.equal(result.exit_code, 0);
    },
  },
  {
    name: "the time limit ends daemonised children too and keeps the output so far",
    run: async (machine) => {
      const result = await machine.exec("setsid sleep 300 & echo kept; sleep 300", { timeout_seconds: 2 });
      assert.deepEqual([result.exit_code, result.timed_out, result.stdout], [124, true, "kept\n"]);
      const left = await machine.exec(
        "for s in /proc/[0-9]*/comm; do read c <$s && [ $c = sleep ] && echo $c; done; true",
      );
      assert.equal(left.stdout, "");
    },
  },
  {
    name: "a background child that holds stdout open does not hold the result",
    run: async (machine) => {
      const result = await machine.exec("sleep 30 & echo started", { timeout_seconds: 20 });
      assert.deepEqual([result.exit_code, result.stdout, result.timed_out], [0, "started\n", false]);
    },
  },
  {
    name: "many commands at once, none waits for another",
    run: async (machine) => {
      const sleeper = machine.exec(["sleep", "8"], { timeout_seconds: 60 });
      const quick = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => await machine.exec(["echo", String(index)])),
      );
      assert.deepEqual(
        quick.map(({ stdout }) => stdout),
        Array.from({ length: 20 }, (_, index) => `${index}\n`),
      );
      assert.equal((await sleeper).exit_code, 0);
    },
  },
  {
    name: "a reader that takes nothing holds up its own command only",
    run: async (machine) => {
      const reading = gate();
      const stuck = new Writable({
        highWaterMark: 1,
        write: (_chunk, _encoding, done) => void reading.opened.then(() => done()),
      });
      const flood = machine.exec("head -c 33554432 /dev/zero", { stdout: stuck, timeout_seconds: 120 });
      const other = await machine.exec(["echo", "free"]);
      assert.equal(other.stdout, "free\n");
      reading.open();
      assert.equal((await flood).exit_code, 0);
    },
  },
  {
    name: "a signal reaches the command",
    run: async (machine) => {
      const stdout = new Collector();
      const result = await machine.exec("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 1; done", {
        stdout,
        timeout_seconds: 60,
        onSignalable: (send) => void stdout.seen("ready").then(async () => await send(SIGINT)),
      });
      assert.equal(stdout.bytes.toString(), "ready\ncaught\n");
      assert.equal(result.exit_code, 7);
    },
  },
  {
    name: "working directory, variables and user are as asked, and nothing else of the host's",
    run: async (machine) => {
      const where = await machine.exec("pwd; id -un; echo $COLOUR; env | cut -d= -f1 | sort | tr '\\n' ' '", {
        cwd: "/tmp",
        env: ["COLOUR=blue=green"],
        user: "nobody",
      });
      const [cwd, user, colour, names] = where.stdout.split("\n");
      assert.deepEqual([cwd, user, colour], ["/tmp", "nobody", "blue=green"]);
      for (const name of (names ?? "").trim().split(" ")) {
        assert.match(name, /^(COLOUR|HOME|LANG|LOGNAME|OLDPWD|PATH|PWD|SHELL|SHLVL|USER|_)$/);
      }
      assert.equal((await machine.exec(["pwd"])).stdout, "/workspace\n");
    },
  },
  {
    name: "a guest out of memory says so",
    run: async (machine) => {
      const result = await machine.exec(["perl", "-e", "my @a; push @a, 'x' x 1_000_000 while 1"], {
        timeout_seconds: 120,
      });
      assert.equal(result.out_of_memory, true);
      assert.equal((await machine.exec(["echo", "alive"])).stdout, "alive\n");
    },
  },
  {
    name: "processes that nobody waits for leave no zombies",
    run: async (machine) => {
      await machine.exec("for i in 1 2 3 4 5; do (sleep 0.1 &) ; done");
      await machine.exec(["sleep", "1"]);
      const zombies = await machine.exec("grep -l '^State:.Z' /proc/[0-9]*/status; true");
      assert.equal(zombies.stdout, "");
    },
  },
  {
    name: "user namespaces, a terminal device and shared memory are there",
    run: async (machine) => {
      const result = await machine.exec(
        "unshare -Ur id -u && test -c /dev/ptmx && test -d /dev/pts && test -w /dev/shm && test -w /tmp && test -e /dev/null",
      );
      assert.deepEqual([result.exit_code, result.stdout], [0, "0\n"]);
    },
  },
  {
    name: "a terminal has its size and is resized, and Ctrl-C that is typed ends what runs on it",
    run: async (machine) => {
      const stdout = new Collector();
      const stdin = new Readable({ read: () => undefined });
      const opened = gate();
      let resize: ((size: TerminalSize) => Promise<boolean>) | undefined;
      const running = machine.exec(
        "trap 'stty size; exec sleep 999' WINCH; stty -echo; tty; stty size; while :; do sleep 0.1; done",
        {
          stdin,
          stdout,
          terminal: { columns: 91, rows: 17, onOpen: (change) => ((resize = change), opened.open()) },
          env: ["TERM=dumb"],
        },
      );
      await opened.opened;
      await stdout.seen("17 91\r\n");
      assert.equal(await resize?.({ columns: 100, rows: 30 }), true);
      await stdout.seen("30 100\r\n");
      stdin.push("\u0003");
      const { exit_code: code, signal } = await running;
      assert.deepEqual([code, signal], [130, SIGINT]);
      assert.match(stdout.bytes.toString(), /^\/dev\/pts\/\d+\r\n17 91\r\n30 100\r\n/);
      assert.equal(await resize?.({ columns: 80, rows: 24 }), false);
    },
  },
  {
    name: "there is no network card",
    run: async (machine) => {
      assert.equal((await machine.exec("ls /sys/class/net")).stdout, "lo\n");
    },
  },
  {
    name: "the guest's clock is the host's",
    run: async (machine) => {
      const before = Date.now();
      const guest = Number((await machine.exec(["date", "+%s%3N"])).stdout);
      assert.ok(guest > before - 1000 && guest < Date.now() + 1000, `guest ${guest}, host ${before}`);
    },
  },
];
