/**
 * What a VMM driver is: it turns a plan into one running machine and gives byte streams to its guest agent. It knows
 * nothing of environments, commands or templates' policy.
 */
import type { Duplex } from "node:stream";
import { VOLUME_GIB_MAX } from "../contract/limits.ts";
import type { ProcessIdentity } from "../host/process-identity.ts";

export type VmmKind = "firecracker" | "qemu";
export type Accelerator = "kvm" | "tcg";

/** vCPUs and memory of a machine; part of a template's identity. */
export interface MachineShape {
  readonly vcpuCount: number;
  readonly memoryMib: number;
}

/** The drive slots that every machine has, in a template as in its restores: none can be added or resized later. */
export const DRIVE_SLOTS = ["rootfs", "seed", "volume"] as const;
export type DriveSlot = (typeof DRIVE_SLOTS)[number];

export interface Drive {
  readonly slot: DriveSlot;
  /** Raw image on the host. */
  readonly path: string;
  readonly readOnly: boolean;
}

/** The largest size a volume can grow to; a VMM may not write a file beyond it. */
export const VOLUME_BYTES_MAX = VOLUME_GIB_MAX * 1024 ** 3;

/** virtio-blk serial by which the guest finds a drive; at most 20 bytes (virtio 1.2, 5.2.6.1). */
export const driveSerial = (slot: DriveSlot): string => `pyro-${slot}`;

/** Byte streams to the guest agent. */
export const CHANNELS = ["control", "bulk"] as const;
export type Channel = (typeof CHANNELS)[number];

/** A bzImage is what distributions install; an ELF is the kernel inside it, unpacked. */
export type KernelFormat = "bzimage" | "elf";

export interface MachinePlan {
  readonly shape: MachineShape;
  /** In the driver's `kernelFormat`. */
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** Kernel parameters for the agent, `pyro.*`; the driver adds those that its machine needs. */
  readonly agentParameters: readonly string[];
  /** One for each slot. */
  readonly drives: readonly Drive[];
  /** Private directory of this machine for sockets; its path is short enough for unix(7). */
  readonly directory: string;
}

/** Where a machine that runs lies. */
export type MachinePlace = Pick<MachinePlan, "directory" | "drives">;

/** The files of a saved machine. */
export interface TemplateFiles {
  /** Guest memory, sparse. */
  readonly memoryPath: string;
  /** Device state. */
  readonly statePath: string;
}

/** How a VMM process ended. */
export interface VmmExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Last lines the VMM wrote itself. */
  readonly vmmLog: string;
  /** Last lines of the guest's console. */
  readonly consoleTail: string;
  /** The VMM said, in words that its guest has no part in, that the host gave it no memory. */
  readonly outOfMemory?: boolean;
}

export interface RunningMachine {
  readonly process: ProcessIdentity;
  /**
   * Opens a byte stream to the guest agent; the caller greets before it trusts it. Only one may be open per channel.
   * @throws PyroError guest_unreachable at the deadline, vmm_failed when the VMM has ended
   */
  connect(channel: Channel, deadlineMs: number): Promise<Duplex>;
  /**
   * Stops the vCPUs, writes memory and device state to the files, and ends the VMM, also when that failed. All channels
   * must be closed.
   */
  save(files: TemplateFiles): Promise<void>;
  /**
   * Makes the volume larger, file and drive, up to VOLUME_BYTES_MAX; the guest sees the new size without being asked.
   * @throws PyroError invalid_argument when it would shrink or is too large, vmm_failed when the VMM refuses or has ended
   */
  growVolume(sizeBytes: number): Promise<void>;
  /** Stops the vCPUs where they are; a machine that is paused stays so. @throws PyroError vmm_failed */
  pause(): Promise<void>;
  /** Lets the vCPUs go on, and with them what the host's disk had no room for. @throws PyroError vmm_failed */
  resume(): Promise<void>;
  /** Ends the VMM at once and waits until its process is gone. Safe to call at any time, also twice. */
  kill(): Promise<void>;
  /** Settles when the VMM process is gone, whatever the reason. Never rejects. */
  readonly exited: Promise<VmmExit>;
  /** Last bytes of the guest's console, bounded. */
  consoleTail(): string;
}

export interface VmmDriver {
  readonly kind: VmmKind;
  readonly accelerator: Accelerator;
  /** All that decides whether a template made by this VMM on this host can be restored: versions, CPU, kernel. */
  readonly templateIdentity: string;
  readonly executionMode: "guest_vsock" | "guest_serial";
  readonly kernelFormat: KernelFormat;
  /** Cold boot. Guest memory lies in `memoryPath` when it will be saved, otherwise in anonymous memory. */
  boot(plan: MachinePlan, options: { memoryPath?: string }): Promise<RunningMachine>;
  /**
   * Starts from a template, memory copy-on-write; resolves when the vCPUs run. On abort, as on failure, nothing is left.
   * @throws PyroError vmm_failed, artifact_corrupt when the template cannot be read, resource_exhausted
   */
  restore(plan: MachinePlan, template: TemplateFiles, signal?: AbortSignal): Promise<RunningMachine>;
}
