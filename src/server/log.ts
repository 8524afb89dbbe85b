/**
 * The server's log: its standard error, which the launcher has opened as server.log.
 *
 * One line for each event: time, event, facts. Never a command, its output, or an environment variable.
 */
import { copyFileSync, fstatSync, ftruncateSync, writeSync } from "node:fs";
import { serverLogPath, type HostPaths } from "../host/paths.ts";

const LOG_FD = 2;
/** Past this the log is moved to server.log.1, so that both together stay below twice of it. */
const LOG_BYTES_MAX = 4 * 1024 * 1024;
const LINE_CHARS_MAX = 1000;

let rotatedPath: string | undefined;

/** Bounds the log from now on. Only for a process whose standard error is the server's log. */
export function startLog(paths: HostPaths): void {
  rotatedPath = `${serverLogPath(paths)}.1`;
  rotateWhenFull(serverLogPath(paths));
}

/** Writes one line. A log that cannot be written stops nothing. */
export function log(event: string, facts: Readonly<Record<string, string | number | boolean | undefined>> = {}): void {
  if (rotatedPath === undefined) return;
  const details = Object.entries(facts)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  const line = `${new Date().toISOString()} ${event}${details.join("")}`;
  try {
    writeSync(LOG_FD, `${line.slice(0, LINE_CHARS_MAX)}\n`);
    rotateWhenFull(rotatedPath.slice(0, -2));
  } catch {
    // The disk is full, or nobody reads: the server's work matters more than its diary.
  }
}

/** The file was opened for appending, so that emptying it is enough to start again. */
function rotateWhenFull(path: string): void {
  const file = fstatSync(LOG_FD);
  if (rotatedPath === undefined || !file.isFile() || file.size <= LOG_BYTES_MAX) return;
  copyFileSync(path, rotatedPath);
  ftruncateSync(LOG_FD, 0);
}
