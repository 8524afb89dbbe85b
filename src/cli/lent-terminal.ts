/** This process's terminal while a guest's command has it. */
import { PyroError } from "../contract/error.ts";
import type { TerminalSize } from "../contract/run.ts";
import type { TerminalIo } from "../sdk/command-io.ts";

/** Of a terminal that does not say its size, as a serial line: what terminfo(5) gives most of them. */
const UNKNOWN_SIZE: TerminalSize = { columns: 80, rows: 24 };

export interface LentTerminal {
  readonly io: TerminalIo;
  /** Takes it back: its modes are as they were. */
  readonly takeBack: () => Promise<void>;
}

/**
 * Lends the terminal from the moment on at which the command runs. With `typing` what is typed is the command's, Ctrl-C too.
 * @throws PyroError invalid_argument where there is none
 */
export function lendTerminal({ typing }: { typing: boolean }): LentTerminal {
  if (!process.stdin.isTTY) {
    throw new PyroError("invalid_argument", "the input device is not a TTY", {
      remedy: "leave --tty out: standard input is no terminal here",
    });
  }
  let opened: Promise<void> = Promise.resolve();
  let follow: (() => void) | undefined;
  const given = sizeNow();
  const onOpen = async (resize: (size: TerminalSize) => Promise<boolean>): Promise<void> => {
    if (typing) {
      process.stdin.setRawMode(true);
      // Only here: most commands have no terminal.
      opened = import("../sdk/raw-output.ts").then(async ({ passOutputUntouched }) => await passOutputUntouched());
    }
    // A command that ends at this moment has no size any more.
    follow = () => void resize(sizeNow()).catch(() => undefined);
    process.on("SIGWINCH", follow);
    const now = sizeNow();
    if (now.columns !== given.columns || now.rows !== given.rows) follow();
    await opened;
  };
  return {
    io: { ...given, onOpen },
    takeBack: async () => {
      if (follow !== undefined) process.off("SIGWINCH", follow);
      await opened;
      if (typing) process.stdin.setRawMode(false);
    },
  };
}

function sizeNow(): TerminalSize {
  const screen = [process.stdout, process.stderr].find((stream) => stream.isTTY);
  const [columns = 0, rows = 0] = screen?.getWindowSize() ?? [];
  return columns > 0 && rows > 0 ? { columns, rows } : UNKNOWN_SIZE;
}
