import type { ServerContext } from "../context.ts";
import { claimStreams, execute } from "../execution.ts";
import type { Handlers } from "../handler.ts";
import { openMachine } from "../opening.ts";

/** One command in a machine of its own, which is gone when the answer is sent, whatever happened. */
export function runHandler(context: ServerContext): Handlers["run"] {
  return async (input, call) => {
    const streams = await claimStreams(context, input);
    try {
      const machine = await openMachine(context, input, call);
      try {
        call.emit({ type: "machine", phase: "execute", vm_id: machine.id });
        const { result } = execute(input, { context, machine, streams, signal: call.signal });
        const outcome = await result;
        streams?.finish();
        await machine.close();
        return { ...outcome, cleanup: { vm_id: machine.id, deleted: true, reason: "post_exec_cleanup" } };
      } finally {
        await machine.close();
      }
    } finally {
      streams?.finish();
    }
  };
}
