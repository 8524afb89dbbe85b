/** `pyro doctor`. */
import { createInterface } from "node:readline/promises";
import { PyroError } from "../../contract/error.ts";
import { runFixCommand } from "../../sdk/fix.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";
import { doctorReport } from "../render/host.ts";

export const doctor: CliCommand = async (invocation) => {
  const { pyro, json, output, extras } = invocation;
  let report = await pyro.doctor();
  if (extras["fix"] === true && report.fix_command !== null) {
    if (!json) output.result(doctorReport(report));
    await fix(report.fix_command, invocation);
    report = await pyro.doctor();
  }
  output.result(json ? toJson(report) : doctorReport(report));
  return report.runtime_ok ? 0 : 1;
};

/** Runs the command after showing it and being told to: it changes the host, mostly as root. */
async function fix(command: string, { extras, output, interruption }: Invocation): Promise<void> {
  output.note(`[doctor] fix: ${printable(command)}`);
  if (extras["yes"] !== true && !(await confirmed(interruption.signal))) {
    throw new PyroError("cancelled", "nothing was changed", {
      remedy: "run the command yourself, or `pyro doctor --fix --yes`",
    });
  }
  const status = await runFixCommand(command);
  if (status !== 0) {
    throw new PyroError("dependency_missing", "the command did not mend everything", {
      evidence: { command, exit: status },
      remedy: "run it yourself and look at what it says",
    });
  }
}

async function confirmed(signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question("Run it now? [y/N] ", { signal })).trim());
  } finally {
    terminal.close();
  }
}
