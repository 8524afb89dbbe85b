/** What a fake guest can do: small words that say what happens, so that every behaviour of a guest can be had on demand. */
import { PyroError } from "../../src/contract/error.ts";
import type { ExecOutcome, ExecRequest, TerminalSize } from "../../src/machine/machine.ts";
import type { FakeDisk } from "./fake-volume.ts";

/** What a command has to work with. */
export interface CommandContext {
  readonly request: ExecRequest;
  readonly signals: EventTarget;
  readonly resizes: EventTarget;
  readonly ended: AbortSignal;
  readonly lose: (why: PyroError) => void;
  readonly disk: FakeDisk | undefined;
}

type FakeCommand = (
  args: readonly string[],
  context: CommandContext,
) => Promise<Partial<ExecOutcome> & { exitCode: number }>;

const say = async ({ request }: CommandContext, stream: "stdout" | "stderr", text: string): Promise<void> => {
  await request.onOutput(stream, new TextEncoder().encode(text));
};

/** By the name of the program. */
export const COMMANDS: Readonly<Record<string, FakeCommand>> = {
  true: () => Promise.resolve({ exitCode: 0 }),
  exit: ([code = "0"]) => Promise.resolve({ exitCode: Number(code) }),
  git: async (_args, context) => {
    await say(context, "stdout", "git version 2.39.5\n");
    return { exitCode: 0 };
  },
  echo: async (args, context) => {
    await say(context, "stdout", `${args.join(" ")}\n`);
    return { exitCode: 0 };
  },
  /** The script that a shell would get. */
  sh: async (args, context) => {
    await say(context, "stdout", `script ${JSON.stringify(args)}\n`);
    return { exitCode: 0 };
  },
  /** Text on a stream, without a newline after it: `print stderr text`. */
  print: async ([stream = "stdout", text = ""], context) => {
    await say(context, stream === "stderr" ? "stderr" : "stdout", text);
    return { exitCode: 0 };
  },
  /** Bytes that are no UTF-8. */
  binary: async (_args, context) => {
    await context.request.onOutput("stdout", Uint8Array.of(0xff, 0xfe, 0x00, 0x0a));
    return { exitCode: 0 };
  },
  /** What it was given, as JSON. */
  request: async (args, context) => {
    const { env, cwd, user, timeLimitMs } = context.request;
    await say(context, "stdout", JSON.stringify({ args, env, cwd, user, timeLimitMs }));
    return { exitCode: 0 };
  },
  /** Changes the workspace's tree. */
  touch: async (_args, { disk }) => {
    if (disk !== undefined) {
      disk.generation += 1;
      disk.tree += "+";
    }
    return await Promise.resolve({ exitCode: 0 });
  },
  cat: async (_args, context) => {
    for await (const piece of context.request.stdin ?? []) await context.request.onOutput("stdout", piece);
    return { exitCode: 0 };
  },
  /** `flood BYTES`: as fast as it is taken. */
  flood: async ([bytes = "0"], { request, ended }) => {
    const piece = new Uint8Array(64 * 1024).fill(0x61);
    for (let left = Number(bytes); left > 0 && !ended.aborted; left -= piece.length) {
      const waiting = request.onOutput("stdout", left >= piece.length ? piece : piece.subarray(0, left));
      if (waiting !== undefined) await waiting;
    }
    return { exitCode: 0 };
  },
  /** Until it gets a signal, which ends it as it would a shell's child. */
  sleep: async (_args, context) => {
    await say(context, "stdout", "sleeping\n");
    return await signalled(context);
  },
  /** As `sleep`, and says every signal instead of ending. */
  stubborn: async (_args, context) => {
    context.signals.addEventListener(
      "signal",
      (event) => void say(context, "stdout", `signal ${(event as CustomEvent<number>).detail}\n`),
    );
    await say(context, "stdout", "sleeping\n");
    await aborted(context.ended);
    return { exitCode: 137, signal: 9 };
  },
  /** Says its terminal's size now and at every change, and what is typed, byte by byte, up to a `q`. */
  terminal: async (_args, context) => {
    const { terminal, env } = context.request;
    const size = (now: TerminalSize | undefined): string => (now === undefined ? "none" : `${now.columns}x${now.rows}`);
    context.resizes.addEventListener(
      "resize",
      (event) => void say(context, "stdout", `resized ${size((event as CustomEvent<TerminalSize>).detail)}\r\n`),
    );
    await say(context, "stdout", `terminal ${size(terminal)} ${env["TERM"] ?? "without TERM"}\r\n`);
    for await (const piece of context.request.stdin ?? []) {
      for (const byte of piece) {
        if (byte === 0x71) return { exitCode: 5 };
        await say(context, "stdout", `byte ${byte}\r\n`);
      }
    }
    return { exitCode: 0 };
  },
  timeout: () => Promise.resolve({ exitCode: 124, signal: 9, timedOut: true }),
  oom: () => Promise.resolve({ exitCode: 137, signal: 9, outOfMemory: true }),
  /** The VMM dies under it. */
  crash: (_args, { lose }) => {
    const why = new PyroError("vmm_failed", "the VMM ended on its own", {
      evidence: { console: "line one\n\u001b[31mpanic\u001b[0m" },
    });
    lose(why);
    return Promise.reject(why);
  },
};

async function signalled({ signals, ended }: CommandContext): Promise<{ exitCode: number; signal: number }> {
  return await new Promise((resolve) => {
    signals.addEventListener("signal", (event) => {
      const number = (event as CustomEvent<number>).detail;
      resolve({ exitCode: 128 + number, signal: number });
    });
    ended.addEventListener("abort", () => resolve({ exitCode: 137, signal: 9 }));
  });
}

/** Settles when the signal is aborted. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
