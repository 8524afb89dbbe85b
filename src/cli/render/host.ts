/** The host and the server, as a person reads them. */
import type { DoctorReport, ServerStatus } from "../../contract/host-operations.ts";
import { printable } from "../printable.ts";

const yesNo = (value: boolean): string => (value ? "yes" : "no");

export function doctorReport(report: DoctorReport): string {
  const { kvm, capabilities, networking, machine, issues } = report;
  const lines = [
    `Platform: ${report.platform}`,
    `Runtime: ${report.runtime_ok ? "PASS" : "FAIL"}`,
    `KVM: exists=${yesNo(kvm.exists)} readable=${yesNo(kvm.readable)} writable=${yesNo(kvm.writable)}`,
    `Environment cache: ${report.cache_dir}`,
    `Capabilities: vm_boot=${yesNo(capabilities.vm_boot)} guest_exec=${yesNo(capabilities.guest_exec)} guest_network=${yesNo(capabilities.guest_network)}`,
    `Networking: tun=${yesNo(networking.tun)} ip_forward=${yesNo(networking.ip_forward)}`,
    `KVM usable: ${yesNo(kvm.usable)} (${kvm.reason})`,
  ];
  if (machine === null) lines.push("Machine: none");
  else {
    lines.push(
      `Machine: ${machine.vmm} ${machine.vmm_version} accelerator=${machine.accelerator} execution_mode=${machine.execution_mode} (${machine.reason})`,
      `Isolation: ${machine.isolation}${machine.isolation === "emulated" ? " (no security boundary: do not run hostile code)" : ""}`,
      `Confinement: ${machine.confinement}${machine.confinement_reason === null ? "" : ` (${machine.confinement_reason})`}`,
    );
  }
  lines.push(firecrackerLine(report));
  lines.push(`Kernel: ${report.kernel.source}${report.kernel.ok ? "" : " (not usable)"}`);
  if (issues.length > 0) lines.push("Issues:", ...issues.map((issue) => `- ${issue}`));
  const fixes = report.checks.flatMap(({ id, ok, fix }) => (ok || fix === null ? [] : [`- ${id}: ${fix}`]));
  if (fixes.length > 0) lines.push("Fixes:", ...fixes);
  if (report.fix_command !== null) lines.push(`Fix all: ${report.fix_command}`);
  if (report.fix_download !== null) lines.push(`Fix: ${downloadLine(report.fix_download)}`);
  if (report.fix_command !== null || report.fix_download !== null) lines.push("Run it with: pyro doctor --fix");
  return lines.map((line) => `${printable(line)}\n`).join("");
}

function firecrackerLine({ firecracker }: DoctorReport): string {
  if (firecracker === null) return "Firecracker: none";
  const { version, path, source } = firecracker;
  return `Firecracker: ${version} path=${path} source=${source}`;
}

/** What `pyro doctor --fix` would fetch, for a person who is asked. */
export function downloadLine(download: NonNullable<DoctorReport["fix_download"]>): string {
  const { version, url, sha256, directory } = download;
  return `download Firecracker ${version} from ${url} (SHA-256 ${sha256}) into ${directory}`;
}

export function serverStatus(status: ServerStatus): string {
  const lines = [
    status.running
      ? `Server: running pid=${status.pid ?? 0} version=${status.version ?? "unknown"} since=${status.started_at ?? "unknown"}`
      : "Server: not running",
    `Socket: ${status.socket}`,
    `Log: ${status.log}`,
  ];
  if (status.running) lines.push(`Machines: held=${status.machines} ready=${status.ready_machines}`);
  return lines.map((line) => `${printable(line)}\n`).join("");
}

export function serverStopped({ stopped, pid }: { stopped: boolean; pid: number | null }): string {
  return stopped ? `Stopped the server: pid=${pid ?? 0}\n` : "No server was running.\n";
}
