/** Waiting for what a process says, by each piece that comes of it. */
import { PyroError } from "../../src/contract/error.ts";
import { withDeadline } from "../../src/host/deadline.ts";

export class AwaitedWords {
  readonly #listeners = new Set<() => void>();
  readonly #shown: () => string;
  #over = false;

  /** `shown`: all that was said so far, for whoever waits in vain. */
  constructor(shown: () => string) {
    this.#shown = shown;
  }

  /** Another piece came. */
  tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Nothing more comes. */
  end(): void {
    this.#over = true;
    this.tell();
  }

  /** Waits until `text` has what `pattern` matches. @throws when it ends, or at the deadline */
  async match(pattern: RegExp, text: () => string, deadlineMs: number): Promise<RegExpExecArray> {
    let listener: (() => void) | undefined;
    const found = new Promise<RegExpExecArray>((settle, reject) => {
      listener = () => {
        const match = pattern.exec(text());
        if (match !== null) settle(match);
        else if (this.#over) reject(this.silent(pattern, "ended"));
      };
      this.#listeners.add(listener);
      listener();
    });
    try {
      return await withDeadline(found, deadlineMs, () => this.silent(pattern, "has not come that far"));
    } finally {
      if (listener !== undefined) this.#listeners.delete(listener);
    }
  }

  /** That it was waited for in vain, with what was said instead. */
  silent(awaited: RegExp, what: string): PyroError {
    return new PyroError("deadline_exceeded", `waiting for ${awaited}, it ${what}\n${this.#shown()}`);
  }
}
