/** 256 MiB out of a guest: through pyro, and over a bare port. */
import { Writable } from "node:stream";
import type { Machine } from "../src/sdk/machine.ts";
import { type BareMachine, execBare } from "./bare-machine.ts";
import { timed } from "./figures.ts";

const BYTES = 256 * 1024 * 1024;

/** A program in the guest that writes BYTES to its standard output. */
export type Producer = readonly string[];
/** As most programs write: through a buffer of a few KiB. */
export const BUFFERED: Producer = ["head", "-c", String(BYTES), "/dev/zero"];
/** As nothing but dd writes: in pieces of the size that the port likes best. */
export const LARGE_WRITES: Producer = ["dd", "if=/dev/zero", "bs=256k", `count=${BYTES / (256 * 1024)}`, "status=none"];

/** Milliseconds until the last byte was taken from a command's standard output. */
export async function throughputSample(machine: Machine, producer: Producer): Promise<number> {
  let bytes = 0;
  const stdout = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length;
      done();
    },
  });
  const elapsed = await timed(async () => await machine.exec([...producer], { stdout, timeout_seconds: 300 }));
  if (bytes !== BYTES) throw new Error(`${bytes} bytes came, ${BYTES} were sent`);
  return elapsed;
}

/** Milliseconds until the last byte was taken from the bare port. */
export async function drain(bare: BareMachine, producer: Producer): Promise<number> {
  const port = await bare.rawPort();
  return await timed(async () => {
    const sent = execBare(bare.link, ["/bin/sh", "-c", `${producer.join(" ")} >/dev/vport0p3`]);
    await new Promise<void>((resolve, reject) => {
      let bytes = 0;
      port.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes >= BYTES) resolve();
      });
      port.on("error", reject);
      port.resume();
    });
    await sent;
    // The port's next sample needs a connection of its own: QEMU makes one within a second.
    port.destroy();
  });
}
