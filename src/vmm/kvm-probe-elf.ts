/**
 * The probe's guest as Firecracker boots it: an ELF kernel of one segment (ELF-64 Object File Format 1.5), entered in
 * 64-bit mode (its src/vmm/src/arch/x86_64/regs.rs). It says that it runs, counts down, says that it is through, and resets
 * the machine, at which Firecracker ends.
 *
 * Firecracker ends with status 0 also when a guest crashes (a triple fault is a shutdown to it), so its status proves
 * nothing: the second mark does.
 */
import { littleEndian, PROBE_ITERATIONS } from "./kvm-probe-image.ts";

/** Firecracker's first serial port: what the guest writes there is on its standard output, between the lines of its log. */
const SERIAL_PORT = 0x3f8;
/** Between control characters, which no line of the log has. */
export const BEGIN_MARK = "\u0002B\u0003";
export const END_MARK = "\u0002E\u0003";
/** The command port of the i8042, and the command at which Firecracker stops (its devices/legacy/i8042.rs, CMD_RESET_CPU). */
const RESET_PORT = 0x64;
const RESET_COMMAND = 0xfe;

/** The lowest address at which Firecracker takes a kernel (its arch/x86_64/layout.rs, HIMEM_START). */
const LOAD_ADDRESS = 0x10_0000;
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const CODE_OFFSET = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;

/**
 * A kernel for Firecracker.
 * @param iterations of the loop; 0 makes one that never comes to its end, for tests of the deadline
 */
export function probeElf(iterations: number = PROBE_ITERATIONS): Buffer {
  const code = [
    ...say(BEGIN_MARK),
    ...(iterations === 0 ? hang() : [...countDown(iterations), ...say(END_MARK), ...reset(), ...hang()]),
  ];
  return Buffer.from([...elfHeader(), ...programHeader(code.length), ...code]);
}

const say = (mark: string): number[] => [
  ...[0x66, 0xba, ...littleEndian(SERIAL_PORT, 2)], // mov dx, SERIAL_PORT
  ...[...Buffer.from(mark, "latin1")].flatMap((byte) => [
    ...[0xb0, byte], //                                mov al, byte
    0xee, //                                           out dx, al
  ]),
];

const countDown = (iterations: number): number[] => [
  ...[0xb9, ...littleEndian(iterations, 4)], // mov ecx, iterations
  ...[0xff, 0xc9], //                    next: dec ecx
  ...[0x75, 0xfc], //                          jnz next
];

const reset = (): number[] => [
  ...[0xb0, RESET_COMMAND], // mov al, RESET_COMMAND
  ...[0xe6, RESET_PORT], //    out RESET_PORT, al
];

const hang = (): number[] => [0xeb, 0xfe]; // jmp $

const elfHeader = (): number[] => [
  ...[0x7f, 0x45, 0x4c, 0x46], // "\x7fELF"
  ...[2, 1, 1, 0, ...Array.from({ length: 8 }, () => 0)], // 64 bits, little endian, version 1, System V
  ...littleEndian(2, 2), // e_type: ET_EXEC
  ...littleEndian(62, 2), // e_machine: EM_X86_64
  ...littleEndian(1, 4), // e_version
  ...littleEndian(LOAD_ADDRESS, 8), // e_entry
  ...littleEndian(ELF_HEADER_BYTES, 8), // e_phoff
  ...littleEndian(0, 8), // e_shoff
  ...littleEndian(0, 4), // e_flags
  ...littleEndian(ELF_HEADER_BYTES, 2), // e_ehsize
  ...littleEndian(PROGRAM_HEADER_BYTES, 2), // e_phentsize
  ...littleEndian(1, 2), // e_phnum
  ...littleEndian(64, 2), // e_shentsize
  ...littleEndian(0, 2), // e_shnum
  ...littleEndian(0, 2), // e_shstrndx
];

const programHeader = (codeBytes: number): number[] => [
  ...littleEndian(1, 4), // p_type: PT_LOAD
  ...littleEndian(5, 4), // p_flags: PF_R | PF_X
  ...littleEndian(CODE_OFFSET, 8), // p_offset
  ...littleEndian(LOAD_ADDRESS, 8), // p_vaddr
  ...littleEndian(LOAD_ADDRESS, 8), // p_paddr
  ...littleEndian(codeBytes, 8), // p_filesz
  ...littleEndian(codeBytes, 8), // p_memsz
  ...littleEndian(1, 8), // p_align: none
];
