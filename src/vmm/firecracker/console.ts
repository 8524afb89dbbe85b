/** What Firecracker wrote to its log file: its own messages, and between them the guest's console. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Bytes of the file's end that are looked at. */
const TAIL_BYTES = 64 * 1024;

/** "2026-11-23T11:28:20.362817756 [id:thread] …"; a guest may write such lines too: nothing is decided by them. */
const OWN_LINE = /^\d{4}-\d\d-\d\dT[\d:.]+ \[/;

/** The last lines of a log, told apart. */
export function readLog(path: string): { vmmLog: string; consoleTail: string } {
  const lines = readTail(path).split("\n");
  return {
    vmmLog: lines.filter((line) => OWN_LINE.test(line)).join("\n"),
    consoleTail: lines.filter((line) => !OWN_LINE.test(line)).join("\n"),
  };
}

function readTail(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
      const bytes = readSync(file, tail, 0, tail.length, size - tail.length);
      return tail.toString("utf8", 0, bytes);
    } finally {
      closeSync(file);
    }
  } catch {
    // The machine's directory may be gone already; an end without words is still an end.
    return "";
  }
}
