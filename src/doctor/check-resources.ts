/** What is worth knowing and stops nobody: CPUs, memory, and the host's side of networking. */
import { CATALOG } from "../environment/catalog.ts";
import type { DoctorReport } from "../contract/host-operations.ts";
import { fault, type Finding, good } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";

const DEFAULT_ENVIRONMENT = "debian:12";

/** Whether the environments' default machines fit this host. Not required: fewer or smaller machines do. */
export async function checkResources(facts: HostFacts): Promise<Finding> {
  const id = "resources";
  const available = await availableMib(facts);
  const host = `${facts.cpuCount} CPUs, ${available === undefined ? "unknown" : `${available} MiB`} of memory available`;
  const tooLarge = CATALOG.filter(
    ({ defaults }) => defaults.vcpu_count > facts.cpuCount || defaults.mem_mib > (available ?? Infinity),
  );
  if (tooLarge.length === 0) return good(id, `${host}: every environment's default machine fits`, { required: false });
  const names = tooLarge
    .map(({ name, defaults }) => `${name} (${defaults.vcpu_count} vCPU / ${defaults.mem_mib} MiB)`)
    .join(", ");
  const detail = `${host}: too little for the default machine of ${names}; give --vcpu-count and --mem-mib`;
  const smallFits = tooLarge.every(({ name }) => name !== DEFAULT_ENVIRONMENT);
  return smallFits ? good(id, detail, { required: false }) : fault(id, detail, { required: false });
}

/** What can be had without swapping, the limit of our cgroup included; undefined when the kernel does not say. */
async function availableMib(facts: HostFacts): Promise<number | undefined> {
  const kib = /^MemAvailable:\s*(\d+) kB/m.exec((await facts.readText("proc/meminfo")) ?? "")?.[1];
  const limitBytes = Number((await facts.readText("sys/fs/cgroup/memory.max")) ?? Number.NaN);
  const candidates = [Number(kib ?? Number.NaN) / 1024, limitBytes / 1024 ** 2].filter((each) => Number.isFinite(each));
  return candidates.length === 0 ? undefined : Math.floor(Math.min(...candidates));
}

export interface NetworkFindings {
  readonly finding: Finding;
  readonly networking: DoctorReport["networking"];
}

/**
 * A guest has no network card, by design, and until connections are carried over the agent's link it has no network
 * either. The two facts are shown because people look for them; pyro needs neither, now or later.
 */
export async function checkNetworking(facts: HostFacts): Promise<NetworkFindings> {
  const [tun, forward] = await Promise.all([
    facts.mayOpen("dev/net/tun"),
    facts.readText("proc/sys/net/ipv4/ip_forward"),
  ]);
  const detail =
    "guests have no network in this version; tun and ip_forward are shown for information and are not needed";
  return {
    finding: good("guest_network", detail, { required: false }),
    networking: { tun, ip_forward: forward?.trim() === "1" },
  };
}
