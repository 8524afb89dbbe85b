/** Time as a guest has it: it stands still while its machine is paused. */
export class GuestClock {
  #stoppedAt: number | undefined;
  #stoppedMs = 0;

  /** Milliseconds since some moment. */
  now(): number {
    return (this.#stoppedAt ?? performance.now()) - this.#stoppedMs;
  }

  stop(): void {
    this.#stoppedAt ??= performance.now();
  }

  goOn(): void {
    if (this.#stoppedAt === undefined) return;
    this.#stoppedMs += performance.now() - this.#stoppedAt;
    this.#stoppedAt = undefined;
  }
}
