/** The command line of a QEMU `microvm` machine (QEMU docs/system/i386/microvm.rst). Pure. */
import { cpuModel } from "./cpu-model.ts";
import { type Accelerator, CHANNELS, type Drive, driveSerial, type MachinePlan } from "../driver.ts";

/** How a machine gets its memory. */
export type GuestMemory =
  /** Nothing to save: anonymous memory. */
  | { readonly kind: "anonymous" }
  /** A cold boot that will be saved: the file is the memory. */
  | { readonly kind: "shared-file"; readonly path: string }
  /** A restore: a private, copy-on-write mapping of a template's memory. */
  | {
      readonly kind: "private-file";
      readonly path: string;
      /** Whether QEMU opens the file for reading only (`rom=off` came with 8.2); before it opens it for writing too. */
      readonly readOnly: boolean;
    };

export interface QemuArguments {
  readonly plan: MachinePlan;
  readonly accelerator: Accelerator;
  readonly memory: GuestMemory;
  /** Frequency of the host's time stamp counter in kHz. */
  readonly tscKhz: number;
  /** Whether QEMU waits to be told, over QMP, where the device state comes from. */
  readonly incoming?: boolean;
}

/** Socket names inside the machine's directory; QEMU runs in that directory and connects to us. */
export const SOCKET_NAMES = {
  qmp: "qmp.sock",
  console: "console.sock",
  control: "control.sock",
  bulk: "bulk.sock",
} as const;
export type SocketName = keyof typeof SOCKET_NAMES;

/**
 * QEMU is the client of all its sockets and tries again every second: whoever serves the machine listens first, so there
 * is no moment to guess at, and a later server gets the machine by listening on the same paths.
 */
const RECONNECT_SECONDS = 1;

export function qemuArguments(options: QemuArguments): string[] {
  const { plan } = options;
  return [
    ...machine(options),
    ...["-smp", String(plan.shape.vcpuCount), "-m", `${plan.shape.memoryMib}M`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-kernel", plan.kernelPath, "-initrd", plan.initramfsPath],
    ...["-append", kernelParameters(options)],
    ...socket("qmp"),
    ...["-mon", "chardev=qmp,mode=control"],
    ...socket("console"),
    ...["-serial", "chardev:console"],
    ...["-device", "virtio-serial-device"],
    ...CHANNELS.flatMap((name) => [...socket(name), "-device", `virtserialport,chardev=${name},name=pyro.${name}`]),
    ...plan.drives.flatMap(drive),
    // All that an ordinary start and a migration do works under these (measured); fork and exec do not.
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...(options.incoming === true ? ["-incoming", "defer"] : []),
  ];
}

function machine(options: QemuArguments): string[] {
  const { memory, accelerator, plan } = options;
  const accel = accelerator === "kvm" ? "kvm" : `tcg,thread=${plan.shape.vcpuCount > 1 ? "multi" : "single"}`;
  // The memory backend is named in every case, so that a saved machine and its restore have the same RAM block.
  const size = `id=ram,size=${plan.shape.memoryMib}M`;
  const backend =
    memory.kind === "anonymous"
      ? `memory-backend-ram,${size}`
      : `memory-backend-file,${size},mem-path=${escapeValue(memory.path)},${memory.kind === "shared-file" ? "share=on" : privateMapping(memory.readOnly)}`;
  return [
    ...["-M", "microvm,x-option-roms=off,isa-serial=on,acpi=on,memory-backend=ram"],
    ...["-accel", accel, "-cpu", cpuModel(accelerator)],
    ...["-object", backend],
  ];
}

/** QEMU's documents, "memory-backend-file": with readonly=on and rom=off the guest's writes go to its private copy. */
function privateMapping(readOnly: boolean): string {
  return readOnly ? "share=off,readonly=on,rom=off" : "share=off";
}

/** Kernel parameters; the reasons are in docs/decisions/0004-qemu-machine.md. */
function kernelParameters({ plan, accelerator, tscKhz }: QemuArguments): string {
  return [
    "console=ttyS0",
    "quiet",
    // A guest that panics or whose agent ends must end the VMM, which runs with -no-reboot.
    "reboot=t",
    "panic=-1",
    ...(accelerator === "tcg"
      ? // TSC calibration under TCG hangs about every second boot; two vCPUs' TSCs look unsynchronised though they are one.
        ["no_timer_check", `tsc_early_khz=${tscKhz}`, "tsc=reliable", "mitigations=off"]
      : []),
    ...plan.agentParameters,
  ].join(" ");
}

function socket(name: SocketName): string[] {
  return ["-chardev", `socket,id=${name},path=${SOCKET_NAMES[name]},server=off,reconnect=${RECONNECT_SECONDS}`];
}

function drive({ slot, path, readOnly }: Drive): string[] {
  // A write that finds no room on the host stops the machine until it goes on, and never reaches the guest as an error. `unmap` makes a hole in the file of what the guest discards. `writeback` keeps the host's page cache and passes every guest flush on as fdatasync: acknowledged means on disk.
  const backend = `if=none,id=${slot},file=${escapeValue(path)},format=raw,cache=writeback,readonly=${readOnly ? "on" : "off,discard=unmap"}`;
  const device = `virtio-blk-device,drive=${slot}${readOnly ? "" : ",werror=enospc"},serial=${driveSerial(slot)}`;
  return ["-drive", backend, "-device", device];
}

/** A comma ends a value in QEMU's option syntax; doubled it stands for itself. */
function escapeValue(value: string): string {
  return value.replaceAll(",", ",,");
}
