import type { PyroError } from "../contract/error.ts";
import { explainLoss, vmmEnded } from "../vmm/vmm-exit.ts";
import type { Exec, ExecRequest, KeptExec, MachineDescription, OpenMachine } from "./machine.ts";
import type { ConfiguredMachine } from "./start.ts";

/** The machine as its holder sees it. `onClose` is called once, when everything of it is gone. */
export function openMachine(
  started: ConfiguredMachine,
  description: MachineDescription,
  onClose: () => void,
): OpenMachine {
  const { id, vmm, scope, link } = started;
  let closing: Promise<void> | undefined;
  const lost = new Promise<PyroError>((resolve) => {
    void vmm.exited.then((exit) => {
      if (closing === undefined) resolve(vmmEnded(exit));
    });
  });
  const close = async (): Promise<void> => {
    closing ??= scope.close().finally(onClose);
    await closing;
  };
  const explained = async <T>(work: Promise<T>): Promise<T> =>
    await work.catch(async (failure: unknown) => await Promise.reject(await explainLoss(vmm, failure)));
  return {
    ...description,
    id,
    volume: started.volume,
    lost,
    close,
    commands: started.commands,
    pause: async () => {
      link.clock.stop();
      await vmm.pause();
    },
    resume: async () => {
      await vmm.resume();
      link.clock.goOn();
    },
    leave: () => {
      closing ??= Promise.resolve();
      link.close();
      onClose();
    },
    exec: (request: ExecRequest): Exec => {
      const exec = started.exec(request);
      const outcome = explained(exec.outcome);
      // Awaited by whoever asked for the command; until then a failure must not count as unhandled.
      outcome.catch(() => undefined);
      return { ...exec, outcome };
    },
    kept: (execId: string): KeptExec => {
      const kept = started.kept(execId);
      return {
        ...kept,
        attach: async (reader) => await explained(kept.attach(reader)),
        readSoFar: async (reader) => await explained(kept.readSoFar(reader)),
      };
    },
  };
}
