import { ended, startProgram } from "../host/process.ts";

/** stty(1) makes one ioctl. */
const STTY_DEADLINE_MS = 2000;

/**
 * Has this process's terminal pass output on as it is. Node's raw mode is for input alone: the terminal goes on adding a
 * carriage return to every line feed, which moves the cursor of programs that turned that off in their own terminal.
 * Without an stty(1) it stays so.
 */
export async function passOutputUntouched(): Promise<void> {
  const child = startProgram("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  await ended(child, "stty", { deadlineMs: STTY_DEADLINE_MS }).catch(() => undefined);
}
