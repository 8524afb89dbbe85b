/** Short calls about a command that the agent knows. */
import { type AgentClient, guestError } from "../guest/link.ts";
import type { TerminalSize } from "./machine.ts";

/** A call that changes nothing but a table in the agent; generous for a starved vCPU. */
export const CALL_DEADLINE_MS = 30_000;

/** Sends a Linux signal to the command's process group; false when it has ended. */
export async function sendSignal(agent: AgentClient, execId: string, number: number): Promise<boolean> {
  return await unlessGone("sending a signal", async () => {
    return (await agent.signal({ execId, signal: number }, { timeoutMs: CALL_DEADLINE_MS })).delivered;
  });
}

/** Changes the size of the command's terminal; false when it has ended. */
export async function setSize(agent: AgentClient, execId: string, terminal: TerminalSize): Promise<boolean> {
  return await unlessGone("resizing the terminal", async () => {
    await agent.resize({ execId, terminal }, { timeoutMs: CALL_DEADLINE_MS });
    return true;
  });
}

async function unlessGone(what: string, call: () => Promise<boolean>): Promise<boolean> {
  try {
    return await call();
  } catch (failure) {
    const error = guestError(failure, what);
    if (error.code === "not_found") return false;
    throw error;
  }
}
