import type * as z from "zod";
import type { PullProgress } from "../contract/environment.ts";
import type { MachineEvent, machineOptions } from "../contract/run.ts";
import type { OpenMachine, OpenRequest } from "../machine/machine.ts";
import type { ServerContext } from "./context.ts";
import type { Call } from "./handler.ts";

type OpenInput = z.output<z.ZodObject<typeof machineOptions>> & { readonly environment: string };

/** Opens the machine that `input` describes and says what happens on the way. */
export async function openMachine(
  { machines }: ServerContext,
  input: OpenInput,
  { signal, emit, ended }: Call<MachineEvent>,
): Promise<OpenMachine> {
  return await machines.open({
    environment: input.environment,
    vcpuCount: input.vcpu_count,
    memoryMib: input.mem_mib,
    machine: input.machine,
    requireIsolation: input.require_isolation,
    answered: ended,
    ...startCall(input.environment, { signal, emit }),
  });
}

/** How the start of a workspace's machine is cancelled, and what it tells. */
export function startCall(
  environment: string,
  { signal, emit }: { signal: AbortSignal; emit: (event: MachineEvent) => void },
): Pick<OpenRequest, "signal" | "onPull" | "onPhase"> {
  return { signal, onPull: pullEvents(emit), onPhase: phaseEvents(environment, emit) };
}

function phaseEvents(environment: string, emit: (event: MachineEvent) => void): OpenRequest["onPhase"] {
  return (phase, vmId) => {
    emit({
      type: "machine",
      phase,
      ...(phase === "create" ? { environment } : {}),
      ...(vmId === undefined ? {} : { vm_id: vmId }),
    });
  };
}

/** Every look at an environment begins with `install`; it is only said when there is something to install. */
function pullEvents(emit: (event: MachineEvent) => void): (progress: PullProgress) => void {
  let heldBack: PullProgress | undefined;
  return (progress) => {
    if (progress.phase === "install") {
      heldBack = progress;
      return;
    }
    if (heldBack !== undefined) emit({ type: "pull", progress: heldBack });
    heldBack = undefined;
    emit({ type: "pull", progress });
  };
}
