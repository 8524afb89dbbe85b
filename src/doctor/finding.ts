/** What one check found, before it becomes part of the report. */
import { type DoctorCheck } from "../contract/host-operations.ts";
import { PyroError } from "../contract/error.ts";

export interface Finding extends DoctorCheck {
  /** Packages of the host's package manager that mend it; they are installed in one command for all findings. */
  readonly packages: readonly string[];
  /** Whether `fix` may be part of the one command that `doctor --fix` runs: it changes no more than it must. */
  readonly automatic: boolean;
}

export function good(id: string, detail: string, options: { required: boolean }): Finding {
  return { id, ok: true, required: options.required, detail, fix: null, packages: [], automatic: false };
}

export interface FaultOptions {
  readonly required: boolean;
  readonly fix?: string | null;
  readonly packages?: readonly string[];
  readonly automatic?: boolean;
}

export function fault(id: string, detail: string, options: FaultOptions): Finding {
  const { required, fix = null, packages = [], automatic = false } = options;
  return { id, ok: false, required, detail, fix, packages, automatic };
}

/** A finding for what was thrown: the typed error's own words. Its remedy is a sentence, so it goes into the detail. */
export function faultOf(id: string, failure: unknown, options: FaultOptions): Finding {
  const { message, remedy } = PyroError.from(failure);
  const advice = remedy === undefined || remedy === options.fix ? "" : `; ${remedy}`;
  return fault(id, `${message}${advice}`, options);
}
