import { fstatSync, readlinkSync } from "node:fs";
import type { Readable } from "node:stream";

/** This process's standard input for a guest's command, or undefined when there is nothing in it to send. */
export function standardInput({ interactive }: { interactive: boolean }): Readable | undefined {
  try {
    // A terminal belongs to the person in front of it, unless they say that it is the command's.
    if (process.stdin.isTTY) return interactive ? process.stdin : undefined;
    if (fstatSync(0).isCharacterDevice() && readlinkSync("/proc/self/fd/0") === "/dev/null") return undefined;
    return process.stdin;
  } catch {
    // Closed: there is no input.
    return undefined;
  }
}
