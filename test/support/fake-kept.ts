/** Commands that a fake guest keeps: their last output, and their end. */
import { PyroError } from "../../src/contract/error.ts";
import type { Exec, ExecOutcome, ExecRequest, KeptExec, KeptReader } from "../../src/machine/machine.ts";

type Stream = "stdout" | "stderr";

class Keeper {
  readonly limitBytes: number;
  readonly signalled: (number: number) => Promise<boolean>;
  outcome: ExecOutcome | undefined;
  failure: unknown;
  readonly #pieces: { stream: Stream; data: Uint8Array }[] = [];
  readonly #dropped = { stdout: 0, stderr: 0 };
  readonly #changes = new EventTarget();

  constructor(exec: Pick<Exec, "signal" | "outcome">, limitBytes: number) {
    this.limitBytes = limitBytes;
    this.signalled = exec.signal;
    exec.outcome.then(
      (outcome) => this.#change(() => (this.outcome = outcome)),
      (failure: unknown) => this.#change(() => (this.failure = failure)),
    );
  }

  add(stream: Stream, data: Uint8Array): void {
    this.#change(() => this.#pieces.push({ stream, data: Uint8Array.from(data) }));
    for (let kept = this.#keptBytes(stream); kept > this.limitBytes; kept = this.#keptBytes(stream)) {
      const index = this.#pieces.findIndex((piece) => piece.stream === stream);
      const [gone] = this.#pieces.splice(index, 1);
      this.#dropped[stream] += gone?.data.length ?? 0;
    }
  }

  async read({ onOutput, onDropped, signal }: KeptReader, soFar: boolean): Promise<ExecOutcome | undefined> {
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#dropped[stream] > 0) onDropped(stream, this.#dropped[stream]);
    }
    for (const piece of [...this.#pieces]) await onOutput(piece.stream, piece.data);
    let told = this.#pieces.length;
    if (soFar) return this.outcome;
    while (this.outcome === undefined && this.failure === undefined) {
      await this.#changed(signal);
      for (const piece of this.#pieces.slice(told)) await onOutput(piece.stream, piece.data);
      told = this.#pieces.length;
    }
    if (this.failure !== undefined) throw PyroError.from(this.failure);
    return this.outcome;
  }

  #keptBytes(stream: Stream): number {
    return this.#pieces.reduce((sum, piece) => sum + (piece.stream === stream ? piece.data.length : 0), 0);
  }

  #change(change: () => unknown): void {
    change();
    this.#changes.dispatchEvent(new Event("change"));
  }

  async #changed(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#changes.addEventListener("change", () => resolve(), { once: true });
      signal.addEventListener("abort", () => reject(PyroError.from(signal.reason)), { once: true });
    });
  }
}

export class FakeKept {
  readonly #known = new Map<string, Keeper>();

  /** The request as it is to be run: what it says is also kept, if it is to be. */
  keeping(
    id: string,
    request: ExecRequest,
    run: (request: ExecRequest) => Pick<Exec, "signal" | "outcome">,
  ): ReturnType<typeof run> {
    const { keep } = request;
    if (keep === undefined) return run(request);
    const early: { stream: Stream; data: Uint8Array }[] = [];
    const add = (stream: Stream, data: Uint8Array): void => {
      const keeper = this.#known.get(id);
      if (keeper === undefined) early.push({ stream, data });
      else keeper.add(stream, data);
    };
    const exec = run({
      ...request,
      onOutput: (stream, data) => {
        add(stream, data);
        return request.onOutput(stream, data);
      },
    });
    const keeper = new Keeper(exec, keep.bytes);
    for (const { stream, data } of early) keeper.add(stream, data);
    this.#known.set(id, keeper);
    return exec;
  }

  kept(id: string): KeptExec {
    const find = (): Keeper => {
      const found = this.#known.get(id);
      if (found === undefined) throw new PyroError("not_found", `the guest knows no command ${id}`);
      return found;
    };
    return {
      id,
      attach: async (reader) => {
        const outcome = await find().read(reader, false);
        if (outcome === undefined) throw new PyroError("internal", "a command that was followed to its end has none");
        return outcome;
      },
      readSoFar: async (reader) => await find().read(reader, true),
      signal: async (number) => await find().signalled(number),
      release: async () => {
        this.#known.delete(id);
        await Promise.resolve();
      },
    };
  }
}
