/** What Firecracker is told of a machine, as calls of its API in their order. Pure. */
import { basename, dirname } from "node:path";
import { type Drive, type DriveSlot, DRIVE_SLOTS, type MachinePlan, type TemplateFiles } from "../driver.ts";
import type { ApiCall } from "./api.ts";

/** Sockets in the machine's directory, which is Firecracker's working directory: a template's device state names them. */
export const API_SOCKET = "api.sock";
export const VSOCK_SOCKET = "vsock.sock";

/** Device state as it is saved, in the machine's directory. */
export const SAVED_STATE = "saved-state";
/** Ends the name of a memory file as Firecracker writes it: every page of it. */
export const DENSE_SUFFIX = ".dense";

/** The guest's address. Every machine has it: what tells machines apart is the socket on the host. */
const GUEST_CID = 3;

/**
 * A drive's name in the machine's directory, a link to the image: the device state names its drives, so that what lies under
 * the same name takes their place in a restored machine.
 */
export const driveLink = (slot: DriveSlot): string => `drive-${slot}`;

/** The calls that configure a machine and start its vCPUs. */
export function bootCalls(plan: MachinePlan): ApiCall[] {
  const { shape } = plan;
  return [
    {
      method: "PUT",
      path: "/machine-config",
      body: { vcpu_count: shape.vcpuCount, mem_size_mib: shape.memoryMib, smt: false, huge_pages: "None" },
    },
    {
      method: "PUT",
      path: "/boot-source",
      body: {
        kernel_image_path: plan.kernelPath,
        initrd_path: plan.initramfsPath,
        boot_args: kernelParameters(plan),
      },
    },
    ...plan.drives.toSorted((a, b) => DRIVE_SLOTS.indexOf(a.slot) - DRIVE_SLOTS.indexOf(b.slot)).map(driveCall),
    { method: "PUT", path: "/vsock", body: { guest_cid: GUEST_CID, uds_path: VSOCK_SOCKET } },
    { method: "PUT", path: "/actions", body: { action_type: "InstanceStart" } },
  ];
}

function driveCall({ slot, readOnly }: Drive): ApiCall {
  return {
    method: "PUT",
    path: `/drives/${slot}`,
    body: {
      drive_id: slot,
      path_on_host: driveLink(slot),
      is_root_device: false,
      is_read_only: readOnly,
      // The default acknowledges a guest's flush without flushing anything.
      cache_type: readOnly ? "Unsafe" : "Writeback",
    },
  };
}

function kernelParameters(plan: MachinePlan): string {
  return [
    "console=ttyS0",
    "quiet",
    // A guest that panics or whose agent ends must end Firecracker, which does at a reset by the keyboard controller.
    "reboot=k",
    "panic=-1",
    // Firecracker cannot give drives serials: the guest knows them by their order.
    `pyro.drives=${DRIVE_SLOTS.join(",")}`,
    ...plan.agentParameters,
  ].join(" ");
}

export const pauseCall = (): ApiCall => ({ method: "PATCH", path: "/vm", body: { state: "Paused" } });

export const resumeCall = (): ApiCall => ({ method: "PATCH", path: "/vm", body: { state: "Resumed" } });

/** Writes a paused machine to files. */
export function saveCall(files: TemplateFiles): ApiCall {
  return {
    method: "PUT",
    path: "/snapshot/create",
    body: { snapshot_type: "Full", snapshot_path: files.statePath, mem_file_path: files.memoryPath },
  };
}

/** Loads a machine and lets its vCPUs run; its memory is a private mapping of the file. */
export function loadCall(files: TemplateFiles): ApiCall {
  return {
    method: "PUT",
    path: "/snapshot/load",
    body: {
      snapshot_path: files.statePath,
      mem_backend: { backend_type: "File", backend_path: files.memoryPath },
      resume_vm: true,
    },
  };
}

/** Makes Firecracker look at a drive's image again: its size reaches the guest. */
export function lookAgainCall(slot: DriveSlot): ApiCall {
  return { method: "PATCH", path: `/drives/${slot}`, body: { drive_id: slot, path_on_host: driveLink(slot) } };
}

/** Firecracker's command line. The identifier, which shows in its log, is the machine's: the directory's own parent has it. */
export function firecrackerArguments(directory: string): string[] {
  return ["--api-sock", API_SOCKET, "--id", basename(dirname(directory)), "--level", "Warn"];
}
