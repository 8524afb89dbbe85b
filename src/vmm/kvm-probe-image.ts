/**
 * The smallest guest there is: it says that it runs, counts down, and ends its VMM.
 *
 * Opening /dev/kvm, reading CPU flags or running three instructions proves nothing: there are hosts where all of that
 * succeeds and a guest then crawls. Twenty million iterations take a CPU about 10 ms, QEMU's TCG about 50 ms, and such
 * a host longer than anybody waits (measured: not done after 8 s).
 */

/** Iterations of the loop. */
export const PROBE_ITERATIONS = 20_000_000;

/** Port of QEMU's isa-debugcon: each byte written is a byte on the host's side. */
export const STARTED_PORT = 0xe9;
/** What is written there before the loop. */
export const STARTED_MARK = "B";
/** Port of QEMU's isa-debug-exit (hw/misc/debugexit.c): writing v ends QEMU with status 2v + 1. */
export const EXIT_PORT = 0x501;
const EXIT_VALUE = 7;
/** Exit status of a QEMU whose guest came to the end. No failure of QEMU's own has it: those are 1 and signals. */
export const EXIT_STATUS = EXIT_VALUE * 2 + 1;

/** A firmware image has to be a multiple of 64 KiB (QEMU hw/i386/x86.c); its end lies at the 4 GiB boundary. */
const BIOS_BYTES = 0x1_0000;
/** Where an x86 CPU begins after reset: the last 16 bytes (Intel SDM 3A, 10.1.4), in real mode. */
const RESET_VECTOR = 0xfff0;
const HLT = 0xf4;

/**
 * A firmware for `qemu-system-x86_64 -bios`. Real mode: no tables, no stack, no memory but its own.
 * @param iterations of the loop; 0 makes one that never comes to its end, for tests of the deadline
 */
export function probeBios(iterations: number = PROBE_ITERATIONS): Buffer {
  // All that is not written below halts.
  const image = Buffer.alloc(BIOS_BYTES, HLT);
  // Segment F000 is the copy of this image below 1 MiB: offset 0 here is F000:0000 there.
  Buffer.from(iterations === 0 ? [...start(), ...hang()] : [...start(), ...countDown(iterations), ...end()]).copy(
    image,
  );
  Buffer.from([0xea, 0x00, 0x00, 0x00, 0xf0]).copy(image, RESET_VECTOR); // jmp far F000:0000
  return image;
}

const start = (): number[] => [
  ...[0xba, ...littleEndian(STARTED_PORT, 2)], // mov dx, STARTED_PORT
  ...[0xb0, STARTED_MARK.charCodeAt(0)], //        mov al, 'B'
  0xee, //                                         out dx, al
];

const countDown = (iterations: number): number[] => [
  ...[0x66, 0xb9, ...littleEndian(iterations, 4)], // mov ecx, iterations
  ...[0x66, 0x49], //                          next: dec ecx
  ...[0x75, 0xfc], //                                jnz next
];

const end = (): number[] => [
  ...[0xba, ...littleEndian(EXIT_PORT, 2)], // mov dx, EXIT_PORT
  ...[0xb0, EXIT_VALUE], //                    mov al, EXIT_VALUE
  0xee, //                                     out dx, al
  ...hang(),
];

const hang = (): number[] => [0xeb, 0xfe]; // jmp $

export function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, index) => Math.floor(value / 256 ** index) % 256);
}
