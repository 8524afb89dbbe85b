import type { EnvironmentDetails, EnvironmentSummary } from "../../src/contract/environment.ts";
import { PyroError } from "../../src/contract/error.ts";
import type { Environments } from "../../src/server/context.ts";
import { FAKE_ENVIRONMENTS } from "./fake-machines.ts";

/** Environments as the store would tell of them. Told in `dropped`: what was in use when replaced ones were to go. */
export function fakeEnvironments(dropped: string[][] = []): Environments {
  return {
    list: () => Promise.resolve({ catalogVersion: "1.0.0", environments: FAKE_ENVIRONMENTS.toReversed().map(summary) }),
    inspect: (name) =>
      FAKE_ENVIRONMENTS.includes(name)
        ? Promise.resolve(details(name))
        : Promise.reject(new PyroError("not_found", `there is no environment ${name}`)),
    dropReplaced: (inUse) => {
      dropped.push([...inUse].toSorted());
      return Promise.resolve();
    },
    prune: ({ all }) =>
      Promise.resolve({
        deletedDirectories: all ? ["/cache/a", "/cache/b"] : ["/cache/a"],
        freedBytes: 2 * 1024 ** 2,
        keptInUse: [],
      }),
  };
}

function summary(name: string): EnvironmentSummary {
  return {
    name,
    version: "1.0.0",
    description: "A fake environment with an umlaut: ä.",
    distribution: "debian",
    distribution_version: "12",
    platform: "linux-x86_64",
    default_packages: ["bash", "coreutils", "git"],
    defaults: { vcpu_count: 1, mem_mib: 1024 },
    origin: "builtin",
    source: "debian bookworm",
    installed: name === "debian:12",
    cache_dir: "/cache",
    install_dir: `/cache/${name}`,
  };
}

function details(name: string): EnvironmentDetails {
  return {
    ...summary(name),
    install_manifest: "/cache/environment.json",
    kernel_image: "/cache/vmlinuz",
    kernel_version: "6.1.0",
    rootfs_image: "/cache/rootfs.ext4",
    rootfs_format: "ext4",
    rootfs_bytes: 1024 ** 2,
    digest: "sha256:0",
    installed_at: "2026-01-01T00:00:00Z",
  };
}
