/** Who of this host's processes opens or reads a file: fanotify(7), which names them. Linux x86-64, root only. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { until } from "./guest-host.ts";

const DEADLINE_MS = 20_000;

/** Perl is in every Debian, and Node has no such call. Prints "ready", and for each event the process's pid and name. */
const WATCH = `
use strict;
$| = 1;
my ($access, $open) = (0x1, 0x20);
my $group = syscall(300, 0, 0);
die "fanotify_init: $!" if $group < 0;
syscall(301, $group, 0x1, $access | $open, -100, $ARGV[0]) == 0 or die "fanotify_mark: $!";
print "ready\\n";
my %names;
while (1) {
  my $events = "\\0" x 4096;
  my $size = syscall(0, $group, $events, 4096);
  last if $size <= 0;
  for (my $at = 0; $at < $size;) {
    my ($length, undef, undef, undef, $mask, $fd, $pid) = unpack("L C C S Q l l", substr($events, $at, 24));
    if (open(my $file, "<", "/proc/$pid/comm")) {
      my $name = <$file>;
      chomp($names{$pid} = $name) if defined $name;
    }
    syscall(3, $fd) if $fd >= 0;
    my $name = $names{$pid} // "unknown";
    # The kernel makes one event of two.
    print "opened $name\\n" if $mask & $open;
    print "read $name\\n" if $mask & $access;
    $at += $length;
  }
}`;

/** What a reader does that stays until it is seen. */
const READ = 'open(my $file, "<", $ARGV[0]) or die; sysread($file, my $byte, 1); readline(STDIN)';

/** Watches one file from `begin` on. */
export class FileWatch implements Disposable {
  readonly #path: string;
  readonly #child: ChildProcess;
  readonly #seen = new Set<string>();

  private constructor(path: string) {
    this.#path = path;
    this.#child = spawn("perl", ["-e", WATCH, path], { stdio: ["ignore", "pipe", "inherit"] });
  }

  static async begin(path: string): Promise<FileWatch> {
    const watch = new FileWatch(path);
    const child = watch.#child;
    await new Promise<void>((resolve, reject) => {
      child.once("exit", () => reject(new Error("the watch has ended")));
      const lines = createInterface({ input: child.stdout ?? assert.fail() });
      lines.on("line", (line) => (line === "ready" ? resolve() : void watch.#seen.add(line)));
    });
    return watch;
  }

  /**
   * "read NAME" and "opened NAME" of each program until now, sorted; one that ended before it was looked at is "unknown". A reader of our
   * own comes last, and is told too: it shows that all before it were seen.
   */
  async seen(): Promise<string[]> {
    const reader = spawn("perl", ["-e", READ, this.#path], { stdio: ["pipe", "ignore", "inherit"] });
    try {
      await until(() => this.#seen.has("read perl"), DEADLINE_MS, "a reader is seen");
    } finally {
      reader.kill("SIGKILL");
    }
    return [...this.#seen].toSorted();
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}
