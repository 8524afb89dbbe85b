/** What a run of the suite found, added up over its stages. */

export class Tally {
  passed = 0;
  /** `{ stage, name, reason }` each. */
  failures = [];
  skips = [];
  /** Test files that ran at least one test, relative to the checkout. */
  files = new Set();

  fail(stage, name, reason) {
    this.failures.push({ stage, name, reason });
  }

  /** The last lines of a run. The very last one is what CI reads. */
  summary() {
    const counts = `${this.passed} passed, ${this.failures.length} failed`;
    return [...listed("Skipped", this.skips), ...listed("Failed", this.failures), "", counts].join("\n");
  }
}

function listed(title, entries) {
  if (entries.length === 0) return [];
  const lines = entries.map(({ stage, name, reason }) => `  ${stage}: ${name}: ${String(reason ?? "").split("\n")[0]}`);
  return ["", `${title} (${entries.length}):`, ...lines];
}
