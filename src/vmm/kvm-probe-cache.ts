/** Remembers what a probe found, for as long as it can be true: this boot, this kernel, this VMM, this device node. */
import { mkdir } from "node:fs/promises";
import { release } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";
import { readTextIfPresent, writeFileDurably } from "../host/files.ts";
import type { HostPaths } from "../host/paths.ts";
import { hostBootId } from "../host/process-identity.ts";
import type { VcpuOutcome, VcpuProbe } from "./kvm-probe-vcpu.ts";

/** Answers kept: every VMM with every accelerator a host can have, and a few that were upgraded since it booted. */
const ANSWERS_MAX = 16;
/** Raise it when the probe itself changes, so that no answer of the old one is believed. */
const PROBE_GENERATION = 1;

const cacheFile = z.object({
  bootId: z.string(),
  answers: z.array(z.object({ key: z.string(), ran: z.boolean(), reason: z.string() })),
});

export const probeCachePath = (paths: HostPaths): string => join(paths.cache, "vcpu-probes.json");

/** Probes that run now in this process: who asks meanwhile gets the same answer. */
const underWay = new Map<string, Promise<VcpuOutcome>>();

/**
 * The probe's answer: remembered, or found now and, when it lasts, remembered.
 *
 * Two processes that ask at the same moment may both run the probe and write the same answer; the file is replaced
 * whole, so a reader never sees a part of it.
 */
export async function answerOnce(paths: HostPaths, probe: VcpuProbe, deviceIdentity: string): Promise<VcpuOutcome> {
  const key = [PROBE_GENERATION, release(), deviceIdentity, probe.identity].join(" ");
  const place = `${probeCachePath(paths)} ${key}`;
  const running = underWay.get(place) ?? find(paths, probe, key).finally(() => underWay.delete(place));
  underWay.set(place, running);
  return await running;
}

async function find(paths: HostPaths, probe: VcpuProbe, key: string): Promise<VcpuOutcome> {
  const bootId = hostBootId();
  const known = (await readAnswers(paths, bootId)).find((each) => each.key === key);
  if (known !== undefined) return { ran: known.ran, reason: known.reason, lasting: true };
  const outcome = await probe.run();
  if (!outcome.lasting) return outcome;
  const others = (await readAnswers(paths, bootId)).filter((each) => each.key !== key);
  await writeAnswers(paths, {
    bootId,
    answers: [{ key, ran: outcome.ran, reason: outcome.reason }, ...others].slice(0, ANSWERS_MAX),
  });
  return outcome;
}

async function readAnswers(paths: HostPaths, bootId: string): Promise<z.infer<typeof cacheFile>["answers"]> {
  try {
    const { success, data } = cacheFile.safeParse(
      JSON.parse((await readTextIfPresent(probeCachePath(paths))) ?? "null"),
    );
    return success && data.bootId === bootId ? data.answers : [];
  } catch {
    // Unreadable or not JSON: the probe runs again, and what it writes mends the file.
    return [];
  }
}

async function writeAnswers(paths: HostPaths, content: z.infer<typeof cacheFile>): Promise<void> {
  const path = probeCachePath(paths);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileDurably(path, `${JSON.stringify(content, null, 2)}\n`);
  } catch {
    // A cache that cannot be written costs time, not truth: doctor reports the directory by itself.
  }
}
