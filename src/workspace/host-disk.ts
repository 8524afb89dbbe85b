/** Room on the host's disk that workspaces lie on. Nothing tells of it, so it is looked at, more often the less there is. */
import { statfs } from "node:fs/promises";
import { PyroError } from "../contract/error.ts";

/** Below this nothing is made or started that takes more of it: what guests write must find some. */
export const FREE_BYTES_MIN = 512 * 1024 ** 2;

export const FULL_DISK_REMEDY =
  "free some space on that disk: `pyro workspace delete NAME --purge`, `pyro env prune`, or files of your own";

/** Below this machines are paused: what they write until that is done finds room in it. */
const RESERVE_BYTES = 256 * 1024 ** 2;
/** From here on they go on; some way above, or they would be paused again at once. */
const ENOUGH_BYTES = 384 * 1024 ** 2;
/** Below this one look follows another quickly: a guest fills some GB in a second at most. */
const NEAR_BYTES = 4 * 1024 ** 3;
const LOOK_MS = 1000;
const NEAR_LOOK_MS = 100;

export interface HostDiskEvents {
  /** Whether anything could fill it. */
  readonly isNeeded: () => boolean;
  /** Called at each look while there is no room: a machine may have come since the last one. */
  readonly onFull: (freeBytes: number) => void;
  /** There is room again. */
  readonly onRoom: () => void;
}

/** Bytes that a user's processes can still write below `path`. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/**
 * Refuses what the disk of `directory` has no room for: `bytes`, and what guests write.
 * @throws PyroError resource_exhausted
 */
export function refuseFull(directory: string, free: number, bytes: number): void {
  if (free >= FREE_BYTES_MIN + bytes) return;
  const mib = Math.floor(free / 1024 ** 2);
  throw new PyroError("resource_exhausted", `the disk of ${directory} has ${mib} MiB free`, {
    remedy: FULL_DISK_REMEDY,
  });
}

export class HostDisk {
  readonly #look: () => Promise<number>;
  readonly #events: HostDiskEvents;
  #timer: NodeJS.Timeout | undefined;
  /** At the last look that was answered. */
  #free = Number.POSITIVE_INFINITY;
  #isFull = false;
  #looking = false;
  #closed = false;

  constructor(look: () => Promise<number>, events: HostDiskEvents) {
    this.#look = look;
    this.#events = events;
  }

  /** Looks from now on, for as long as it is needed. */
  watch(): void {
    if (!this.#closed && this.#timer === undefined && !this.#looking) this.#lookAfter(0);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Takes in how much room there is. */
  #note(free: number): void {
    const wasFull = this.#isFull;
    this.#isFull = free < (wasFull ? ENOUGH_BYTES : RESERVE_BYTES);
    if (this.#isFull) this.#events.onFull(free);
    else if (wasFull) this.#events.onRoom();
  }

  #lookAfter(ms: number): void {
    this.#timer = setTimeout(() => void this.#lookAgain(), ms).unref();
  }

  async #lookAgain(): Promise<void> {
    this.#timer = undefined;
    this.#looking = true;
    // A disk that cannot be asked has as much as it said last: machines that stand still must not go on for that.
    const free = await this.#look().catch(() => this.#free);
    this.#free = free;
    this.#looking = false;
    this.#note(free);
    if (this.#closed) return;
    if (this.#isFull || this.#events.isNeeded()) this.#lookAfter(free < NEAR_BYTES ? NEAR_LOOK_MS : LOOK_MS);
  }
}
