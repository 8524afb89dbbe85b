import { PyroError } from "../../contract/error.ts";
import type { MachineReady } from "../../contract/run.ts";
import type { OpenMachine } from "../../machine/machine.ts";
import type { HeldMachine, ServerContext } from "../context.ts";
import { claimStreams, execute, unlessAborted } from "../execution.ts";
import type { Handlers } from "../handler.ts";
import { openMachine } from "../opening.ts";

/** Linux SIGKILL. */
const SIGKILL = 9;

/** A machine that lives as long as the call that opened it, and commands in it. */
export function machineHandlers(context: ServerContext): Handlers["machine"] {
  return {
    open: async (input, call) => {
      const machine = await openMachine(context, input, call);
      await hold(context, machine, { signal: call.signal, onHeld: () => call.emit(readyEvent(machine)) });
      return { vm_id: machine.id };
    },
    exec: async (input, { signal }) => {
      const { machine } = held(context, input.vm_id);
      const streams = await claimStreams(context, input);
      try {
        const { exec, result } = execute(input, { context, machine, streams, signal });
        try {
          return await result;
        } finally {
          // The machine stays, the command of a caller that went away does not.
          if (signal.aborted) await exec.signal(SIGKILL);
        }
      } finally {
        streams?.finish();
      }
    },
    close: async ({ vm_id: id }) => {
      await held(context, id).release();
      return { cleanup: { vm_id: id, deleted: true, reason: "explicit_delete" } };
    },
  };
}

function held(context: ServerContext, id: string): HeldMachine {
  const found = context.openMachines.get(id);
  if (found === undefined) throw new PyroError("not_found", `no open machine has the id ${id}`);
  return found;
}

/** Keeps the machine until it is released; throws when it ends before, or its caller does. It is gone in every case. */
async function hold(
  context: ServerContext,
  machine: OpenMachine,
  { signal, onHeld }: { signal: AbortSignal; onHeld: () => void },
): Promise<void> {
  let letGo: (gone: "released") => void = () => undefined;
  const released = new Promise<"released">((resolve) => (letGo = resolve));
  const closed = (async () => {
    try {
      const end = await unlessAborted(Promise.race([released, machine.lost]), signal);
      if (end !== "released") throw end;
    } finally {
      context.openMachines.delete(machine.id);
      await machine.close();
    }
  })();
  const release = async (): Promise<void> => {
    letGo("released");
    await closed;
  };
  context.openMachines.set(machine.id, { machine, release });
  onHeld();
  await closed;
}

function readyEvent(machine: OpenMachine): MachineReady {
  return {
    type: "ready",
    vm_id: machine.id,
    environment: machine.environment,
    environment_version: machine.environmentVersion,
    vcpu_count: machine.shape.vcpuCount,
    mem_mib: machine.shape.memoryMib,
    execution_mode: machine.executionMode,
    isolation: machine.isolation,
    confinement: machine.confinement,
  };
}
