/**
 * The nested machine's root file system and kernel: an environment as users define their own, built by pyro's own builder.
 * It is built again when its recipe changes.
 */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { customEnvironmentsPath } from "../../src/environment/custom.ts";
import { ensureInitramfs, type Initramfs } from "../../src/environment/initramfs.ts";
import { type InstalledEnvironment, installEnvironment } from "../../src/environment/store.ts";
import { packageCache } from "../../src/environment/debian/apt-root.ts";
import { packageFile } from "../../src/host/package-files.ts";
import { hostDirectories, imageDirectories } from "./places.ts";

const NAME = "nested";

/** Debian packages beyond the minimal system, each with what it is there for. */
const PACKAGES = {
  "linux-image-cloud-amd64": "the kernel's modules, KVM's among them",
  kmod: "inserts them",
  "qemu-system-x86": "a VMM under test",
  "libstdc++6": "Node's own library",
  "btrfs-progs": "workspace volumes",
  e2fsprogs: "the writable disk",
  "squashfs-tools": "looking into environments",
  iproute2: "looking at sockets and namespaces",
  procps: "looking at processes",
  strace: "finding out why a confined program fails",
} as const;

/** The machine's image, built when it is not there; `onProgress` gets a line of text now and then. */
export async function ensureImage(
  onProgress: (line: string) => void,
): Promise<{ environment: InstalledEnvironment; initramfs: Initramfs }> {
  const path = customEnvironmentsPath(imageDirectories);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, `[environments.${NAME}]\npackages = ${JSON.stringify(Object.keys(PACKAGES))}\n`);
  sharePackages();
  let shown = "";
  const environment = await installEnvironment(NAME, {
    paths: imageDirectories,
    onProgress: ({ phase }) => {
      if (phase !== shown) onProgress(`image of the nested machine: ${phase}`);
      shown = phase;
    },
  });
  const agentPath = packageFile("agent").path;
  return {
    environment,
    initramfs: await ensureInitramfs({ paths: imageDirectories, kernel: environment.kernel, agentPath }),
  };
}

/** Most of the packages are those of the environments: downloaded once for both. */
function sharePackages(): void {
  const packages = packageCache(imageDirectories);
  if (existsSync(packages)) return;
  mkdirSync(packageCache(hostDirectories), { recursive: true, mode: 0o700 });
  mkdirSync(imageDirectories.cache, { recursive: true, mode: 0o700 });
  symlinkSync(packageCache(hostDirectories), packages);
}
