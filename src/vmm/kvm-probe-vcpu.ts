/** What runs a vCPU for the probe: QEMU with a firmware, or Firecracker with the same loop as an ELF kernel. */

export interface VcpuOutcome {
  /** Whether the guest came to its end. */
  readonly ran: boolean;
  /** In one clause, what happened. */
  readonly reason: string;
  /**
   * Whether it will be the same until the host boots again, so that it is worth remembering. A VMM that refused in its
   * own words is not: that costs nothing to ask again, and somebody may mend it.
   */
  readonly lasting: boolean;
}

/** One way to run the probe's guest. */
export interface VcpuProbe {
  /** Names the VMM, its version and its accelerator: part of what an answer is remembered by. */
  readonly identity: string;
  /** Ends within its own deadlines, leaves no process, never rejects. */
  run(): Promise<VcpuOutcome>;
}
