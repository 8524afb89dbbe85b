/**
 * Device state out of a QEMU and into another (QEMU docs/devel/migration). Guest memory stays in its file.
 */
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { PyroError } from "../../contract/error.ts";
import { SocketSlot } from "../socket-slot.ts";
import type { QmpClient } from "./qmp.ts";

export const QMP_DEADLINE_MS = 10_000;
/** Moving the device state takes 13 ms idle; a loaded disk may hold its writing up. */
const TRANSFER_DEADLINE_MS = 60_000;
const STATE_SOCKET = "state.sock";

/** Loads device state from an inherited descriptor and lets the vCPUs run. */
export async function loadState(qmp: QmpClient, descriptor: number): Promise<void> {
  await prepare(qmp);
  await transfer(qmp, "migrate-incoming", `fd:${descriptor}`);
  // A machine that was saved stopped is loaded stopped.
  await qmp.execute("cont", {}, QMP_DEADLINE_MS);
}

/** Stops the vCPUs and writes device state to `statePath`, by a socket in the directory that QEMU runs in. */
export async function saveState(qmp: QmpClient, directory: string, statePath: string): Promise<void> {
  await prepare(qmp);
  await qmp.execute("stop", {}, QMP_DEADLINE_MS);
  const receiver = await SocketSlot.listen(join(directory, STATE_SOCKET));
  try {
    await Promise.all([receive(receiver, statePath), transfer(qmp, "migrate", `unix:${STATE_SOCKET}`)]);
  } finally {
    await receiver.close();
  }
}

async function receive(receiver: SocketSlot, statePath: string): Promise<void> {
  const stream = await receiver.take(QMP_DEADLINE_MS);
  const late = AbortSignal.timeout(TRANSFER_DEADLINE_MS);
  await pipeline(stream, createWriteStream(statePath, { flags: "wx", mode: 0o600, flush: true }), { signal: late });
}

/** QEMU leaves memory out of the stream when it lies in a shared file, and tells of a migration's end (qapi/migration.json). */
async function prepare(qmp: QmpClient): Promise<void> {
  const capabilities = ["x-ignore-shared", "events"].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities }, QMP_DEADLINE_MS);
}

async function transfer(qmp: QmpClient, command: "migrate" | "migrate-incoming", uri: string): Promise<void> {
  const [status] = await Promise.all([
    // Asked for before the command, which may be done before it is answered.
    qmp.nextEvent("MIGRATION", ({ status: now }) => now === "completed" || now === "failed", TRANSFER_DEADLINE_MS),
    qmp.execute(command, { uri }, QMP_DEADLINE_MS),
  ]);
  if (status["status"] === "completed") return;
  throw new PyroError("vmm_failed", "QEMU could not move the machine's state", { cause: await reason(qmp) });
}

async function reason(qmp: QmpClient): Promise<string | undefined> {
  try {
    const answer = await qmp.execute("query-migrate", {}, QMP_DEADLINE_MS);
    const text = typeof answer === "object" && answer !== null && "error-desc" in answer ? answer["error-desc"] : "";
    return typeof text === "string" && text !== "" ? text : undefined;
  } catch {
    // An incoming migration that failed ends QEMU: its log has the reason.
    return undefined;
  }
}
