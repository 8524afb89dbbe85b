/** What /dev/kvm looks like from outside: the cheap questions, asked before a vCPU is run. */
import { constants } from "node:fs";
import { access, readFile, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";

/** The device as this process sees it. */
export interface KvmDevice {
  readonly exists: boolean;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Changes when the node is made anew, as loading the module does. */
  readonly identity: string;
  /** Null when it can be opened; otherwise why not, and the command that mends it if there is one. */
  readonly obstacle: { readonly reason: string; readonly fix: string | null } | null;
}

/** Looks at `/dev/kvm` below `root` ("/" outside tests). */
export async function inspectKvmDevice(root = "/"): Promise<KvmDevice> {
  const path = join(root, "dev/kvm");
  const node = await stat(path).catch(() => undefined);
  if (node === undefined) {
    return { exists: false, readable: false, writable: false, identity: "none", obstacle: await whyMissing(root) };
  }
  const [readable, writable] = await Promise.all([may(path, constants.R_OK), may(path, constants.W_OK)]);
  const obstacle = readable && writable ? null : await whyForbidden(root, node);
  return { exists: true, readable, writable, identity: `${node.rdev}:${node.ino}:${node.ctimeMs}`, obstacle };
}

async function may(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}

async function whyMissing(root: string): Promise<KvmDevice["obstacle"]> {
  const cpu = await readFile(join(root, "proc/cpuinfo"), "utf8").catch(() => "");
  // Spelled as the kernel does (arch/x86/include/asm/cpufeatures.h).
  const vendorModule = /^flags\s*:.*\bvmx\b/m.test(cpu)
    ? "kvm_intel"
    : /^flags\s*:.*\bsvm\b/m.test(cpu)
      ? "kvm_amd"
      : undefined;
  if (vendorModule !== undefined) {
    return {
      reason: "/dev/kvm is missing though the CPU has virtualisation: the kernel module is not loaded",
      fix: `sudo modprobe ${vendorModule}`,
    };
  }
  return {
    reason:
      "/dev/kvm is missing and the CPU shows no virtualisation (vmx, svm): it is off in the firmware, or this is a virtual machine without nested virtualisation",
    fix: null,
  };
}

async function whyForbidden(root: string, node: { gid: number; mode: number }): Promise<KvmDevice["obstacle"]> {
  const groups = await readFile(join(root, "etc/group"), "utf8").catch(() => "");
  const group = groups.split("\n").find((line) => line.split(":")[2] === String(node.gid));
  const [name, , , members = ""] = group?.split(":") ?? [];
  const groupMayOpen = (node.mode & 0o060) === 0o060;
  if (name === undefined || name === "root" || !groupMayOpen) {
    const command = "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm && sudo usermod -aG kvm $USER";
    return {
      reason: "no permission on /dev/kvm, and no group but root's has it; after the command log in again",
      fix: command,
    };
  }
  const user = userName();
  if (user !== "" && members.split(",").includes(user)) {
    return {
      reason: `no permission on /dev/kvm: you are in its group ${name} since after you logged in; log in again`,
      fix: null,
    };
  }
  return {
    reason: `no permission on /dev/kvm: its group is ${name}, and you are not in it; after the command log in again`,
    fix: `sudo usermod -aG ${name} $USER`,
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // No entry in passwd, as in a container with an arbitrary uid: then it is in no group's list either.
    return "";
  }
}
