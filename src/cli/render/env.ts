/** Environments, as a person reads them. */
import type { EnvironmentDetails, EnvironmentSummary } from "../../contract/environment.ts";
import { printable } from "../printable.ts";
import { bytesText } from "./units.ts";

const yesNo = (value: boolean): string => (value ? "yes" : "no");

export function environmentList({
  catalog_version,
  environments,
}: {
  catalog_version: string;
  environments: EnvironmentSummary[];
}): string {
  const rows = environments
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))
    .map(
      ({ name, installed, description }) =>
        `${printable(name)} [${installed ? "installed" : "not installed"}] ${printable(description)}`,
    );
  return lines([`Catalog version: ${catalog_version}`, ...rows]);
}

/** The block of `env pull` (headed "Pulled") and `env inspect` ("Environment"). */
export function environmentDetails(heading: "Pulled" | "Environment", details: EnvironmentDetails): string {
  const facts: [string, string | null][] = [
    [heading, details.name],
    ["Version", details.version],
    ["Distribution", `${details.distribution} ${details.distribution_version}`],
    ["Installed", yesNo(details.installed)],
    ["Cache dir", details.cache_dir],
    ["Default packages", details.default_packages.join(", ")],
    ["Install dir", details.install_dir],
    ["Install manifest", details.install_manifest],
    ["Kernel image", details.kernel_image],
    ["Rootfs image", details.rootfs_image],
    ["Source", details.source],
  ];
  if (heading === "Environment") {
    facts.push(
      ["Kernel version", details.kernel_version],
      [
        "Rootfs size",
        details.rootfs_bytes === null
          ? null
          : `${bytesText(details.rootfs_bytes)} (${details.rootfs_format ?? "unknown"})`,
      ],
      ["Digest", details.digest],
      ["Installed at", details.installed_at],
      ["Defaults", `${details.defaults.vcpu_count} vCPU / ${details.defaults.mem_mib} MiB`],
    );
  }
  return lines(facts.flatMap(([name, value]) => (value === null ? [] : [`${name}: ${printable(value)}`])));
}

export interface PruneResult {
  readonly deleted_environment_dirs: string[];
  readonly count: number;
  readonly deleted_seeds: readonly string[];
  readonly freed_bytes: number;
  readonly kept_in_use: string[];
}

export function pruneSummary({
  deleted_environment_dirs: deleted,
  count,
  deleted_seeds: seeds,
  freed_bytes: freed,
  kept_in_use: kept,
}: PruneResult): string {
  return lines([
    `Deleted ${count} cached environment ${count === 1 ? "entry" : "entries"}.`,
    ...deleted.map((directory) => `- ${printable(directory)}`),
    ...seeds.map((id) => `- seed ${id}`),
    ...(freed > 0 ? [`Freed: ${bytesText(freed)}`] : []),
    ...kept.map((directory) => `Kept, in use: ${printable(directory)}`),
  ]);
}

const lines = (texts: string[]): string => texts.map((text) => `${text}\n`).join("");
