/** What a guest's command gets of this process: its streams, its terminal, its interrupts. */
import { PyroError } from "../contract/error.ts";
import type { CommandIo } from "../sdk/command-io.ts";
import { type GuestOutput, guestOutput } from "./guest-output.ts";
import type { Invocation } from "./invocation.ts";
import { lendTerminal } from "./lent-terminal.ts";
import { standardInput } from "./standard-input.ts";

/** Linux SIGINT. */
const SIGINT = 2;

export interface CommandStreams {
  readonly guest: GuestOutput;
  /** The call's input, with what the terminal is. */
  readonly input: Invocation["input"];
  readonly options: CommandIo & { readonly signal: AbortSignal };
  /** Takes everything back. */
  readonly close: () => Promise<void>;
}

/** Options for a command that Ctrl-C reaches: the first one goes to the guest. */
export function interruptible({ interruption }: Pick<Invocation, "interruption">): {
  signal: AbortSignal;
  onSignalable: (send: (signal: number) => Promise<boolean>) => void;
} {
  return {
    signal: interruption.signal,
    onSignalable: (send) => interruption.forwardFirstInterrupt(async () => await send(SIGINT)),
  };
}

/** As `--interactive` and `--tty` say. Ctrl-C goes to the guest: typed on a terminal that is lent, or the first one. */
export function commandStreams({ extras, input, json, interruption }: Invocation): CommandStreams {
  const interactive = extras["interactive"] === true;
  const tty = extras["tty"] === true;
  if (tty && json) {
    throw new PyroError("invalid_argument", "--json prints nothing but the result, and --tty what the command shows", {
      remedy: "leave one of them out",
    });
  }
  const terminal = tty ? lendTerminal({ typing: interactive }) : undefined;
  const stdin = standardInput({ interactive });
  const guest = guestOutput();
  return {
    guest,
    input: tty ? { ...input, env: [...termVariable(), ...((input["env"] as string[] | undefined) ?? [])] } : input,
    options: {
      ...interruptible({ interruption }),
      stdin,
      ...(json ? {} : { stdout: guest.stdout, stderr: guest.stderr }),
      ...(terminal === undefined ? {} : { terminal: terminal.io }),
    },
    close: async () => {
      await terminal?.takeBack();
      // Whoever started us may keep the other end of it open and silent.
      stdin?.destroy();
    },
  };
}

/** Whoever gives another TERM with --env comes later, and wins. */
function termVariable(): string[] {
  const term = process.env["TERM"] ?? "";
  return term === "" ? [] : [`TERM=${term}`];
}
