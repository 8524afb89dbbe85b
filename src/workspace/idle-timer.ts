/** Calls back when nobody has used a workspace for its time to live. */
export class IdleTimer {
  readonly #onIdle: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** The time begins anew. */
  restart(seconds: number): void {
    this.stop();
    this.#timer = setTimeout(this.#onIdle, seconds * 1000).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
