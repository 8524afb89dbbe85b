/** Failures as the user sees them. */
import type { PyroError } from "../contract/error.ts";
import { toJson } from "./json.ts";
import { printable } from "./printable.ts";

const EVIDENCE_LINES_MAX = 20;
const EVIDENCE_LINE_CHARS_MAX = 400;

/** The lines for standard error: what happened, why, what to do, and the facts. */
export function errorLines(error: PyroError): string {
  const { message, cause, remedy, evidence } = error.toJSON();
  const lines = [`[error] ${printable(message)}`];
  if (cause !== undefined && cause !== "") lines.push(`  cause: ${printable(cause)}`);
  if (remedy !== undefined) lines.push(`  try: ${printable(remedy)}`);
  for (const [name, value] of Object.entries(evidence ?? {}))
    lines.push(...evidenceLines(printable(name), String(value)));
  if (process.env["PYRO_DEBUG"] === "1") lines.push(stackOf(error));
  return `${lines.join("\n")}\n`;
}

/** The answer for `--json`. */
export function errorJson(error: PyroError): string {
  return toJson({ error: error.toJSON(), ok: false });
}

/** A value of one line beside its name; of a longer one the last lines, which say most. */
function evidenceLines(name: string, value: string): string[] {
  const lines = value
    .trimEnd()
    .split("\n")
    .map((line) => printable(line.trimEnd()).slice(0, EVIDENCE_LINE_CHARS_MAX));
  if (lines.length === 1) return [`  ${name}: ${lines[0] ?? ""}`];
  const shown = lines.slice(-EVIDENCE_LINES_MAX);
  const left = lines.length - shown.length;
  return [
    `  ${name}:${left > 0 ? ` (last ${shown.length} of ${lines.length} lines)` : ""}`,
    ...shown.map((line) => `    ${line}`),
  ];
}

function stackOf(error: PyroError): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? error.cause.message}` : "";
  return `${error.stack ?? ""}${cause}`;
}
