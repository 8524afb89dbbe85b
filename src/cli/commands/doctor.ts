/** `pyro doctor`. */
import { PyroError } from "../../contract/error.ts";
import type { DoctorReport } from "../../contract/host-operations.ts";
import { runFixCommand, runFixDownload } from "../../sdk/fix.ts";
import { confirmed } from "../confirmation.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";
import { doctorReport, downloadLine } from "../render/host.ts";

export const doctor: CliCommand = async (invocation) => {
  const { pyro, json, output, extras } = invocation;
  let report = await pyro.doctor();
  if (extras["fix"] === true && (report.fix_command !== null || report.fix_download !== null)) {
    if (!json) output.result(doctorReport(report));
    await fix(report, invocation);
    report = await pyro.doctor();
  }
  output.result(json ? toJson(report) : doctorReport(report));
  return report.runtime_ok ? 0 : 1;
};

/** Runs the command and then the download, after showing both and being told to: they change the host. */
async function fix(report: DoctorReport, { extras, output, interruption }: Invocation): Promise<void> {
  const { fix_command: command, fix_download: download } = report;
  if (command !== null) output.note(`[doctor] fix: ${printable(command)}`);
  if (download !== null) output.note(`[doctor] fix: ${printable(downloadLine(download))}`);
  if (extras["yes"] !== true && !(await confirmed("Run it now?", interruption.signal))) {
    throw new PyroError("cancelled", "nothing was changed", {
      remedy: `${command === null ? "run" : "run the command yourself, or"} \`pyro doctor --fix --yes\``,
    });
  }
  if (command !== null) await runCommand(command);
  if (download !== null) {
    const path = await runFixDownload({ signal: interruption.signal });
    output.note(`[doctor] installed: ${printable(path)}`);
  }
}

async function runCommand(command: string): Promise<void> {
  const status = await runFixCommand(command);
  if (status === 0) return;
  throw new PyroError("dependency_missing", "the command did not mend everything", {
    evidence: { command, exit: status },
    remedy: "run it yourself and look at what it says",
  });
}
