/** Commands of a server that is gone, in the guest of a machine that went on. */
import { constants } from "node:os";
import { PyroError } from "../contract/error.ts";
import { followCommand } from "../guest/exec.ts";
import type { Command } from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import { type AgentClient, guestError } from "../guest/link.ts";
import { outcomeOf } from "./exec-outcome.ts";
import type { LeftCommand } from "./machine.ts";

/** Calls that change a table in the agent, or ask for it. */
const CALL_DEADLINE_MS = 30_000;

/** The commands that the agent knows, running and ended. */
export async function leftCommands(agent: AgentClient): Promise<LeftCommand[]> {
  try {
    const { commands } = await agent.list({}, { timeoutMs: CALL_DEADLINE_MS });
    return commands.map((command) => leftCommand(agent, command));
  } catch (failure) {
    throw guestError(failure, "asking for the guest's commands");
  }
}

function leftCommand(agent: AgentClient, { execId, running, note, stdoutStart, stderrStart }: Command): LeftCommand {
  const options = { timeoutMs: CALL_DEADLINE_MS };
  return {
    execId,
    isRunning: running,
    note,
    end: async (onOutput) => {
      try {
        await agent.signal({ execId, signal: constants.signals.SIGKILL }, options);
        const from = { stdout: stdoutStart, stderr: stderrStart };
        return await outcomeOf(await followCommand(agent, execId, { from, onOutput, endsWithinMs: 0 }), onOutput);
      } catch (failure) {
        throw PyroError.is(failure) ? failure : guestError(failure, "ending a command");
      } finally {
        // With what it had started in the background; the machine may be gone already.
        agent.release({ execId }, options).catch(() => undefined);
      }
    },
  };
}
