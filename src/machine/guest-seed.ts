/** The work of a machine that is nobody's: making a seed, or the first volume of one. */
import { randomBytes } from "node:crypto";
import { PyroError } from "../contract/error.ts";
import { guestError, type GuestLink } from "../guest/link.ts";
import { withDeadline } from "../host/deadline.ts";
import { unixTimeNs } from "./guest-setup.ts";
import type { SeedStep } from "./machine.ts";

const ENTROPY_BYTES = 64;
/** The guest says how far it is several times a second; only writing out what is in its memory takes longer. */
const SILENCE_MS = 180_000;
/** Mounting a seed, adding a device, writing some megabytes. */
const SPROUT_DEADLINE_MS = 120_000;

const fresh = (): { entropy: Uint8Array; unixTimeNs: bigint } => ({
  entropy: randomBytes(ENTROPY_BYTES),
  unixTimeNs: unixTimeNs(),
});

/** Has the guest make a seed on its volume of the stream in its seed slot, and compare the two. */
export async function makeSeed({ agent }: GuestLink, onStep: (step: SeedStep) => void): Promise<void> {
  const late = (): PyroError => new PyroError("guest_unreachable", `the guest said nothing for ${SILENCE_MS} ms`);
  try {
    const steps = agent.makeSeed(fresh())[Symbol.asyncIterator]();
    for (;;) {
      const next = await withDeadline(steps.next(), SILENCE_MS, late);
      if (next.done === true) throw new PyroError("guest_failed", "the guest did not say whether the seed is done");
      const { entries, bytes, comparing, done } = next.value;
      if (done) return;
      onStep({ phase: comparing ? "compare" : "fill", entries: Number(entries), bytes: Number(bytes) });
    }
  } catch (failure) {
    throw guestError(failure, "making the seed");
  }
}

/** Has the guest make the first volume of the seed in its seed slot. */
export async function sproutVolume({ agent }: GuestLink): Promise<void> {
  try {
    await agent.sproutVolume(fresh(), { timeoutMs: SPROUT_DEADLINE_MS });
  } catch (failure) {
    throw guestError(failure, "making a volume of the seed");
  }
}
