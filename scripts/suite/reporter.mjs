/**
 * A reporter of node:test that counts: one line of JSON for each thing that matters to the summary.
 *
 * Node's own summary counts neither a file that ran no test nor a skip without a reason as what they are here: failures.
 */

/** Turns node:test's events into `{ kind, file, name, reason }` lines; kind is passed, failed or skipped. */
export default async function* countTests(events) {
  for await (const { type, data } of events) {
    const line = type === "test:pass" || type === "test:fail" ? verdict(type, data) : undefined;
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function verdict(type, data) {
  const of = (kind, reason) => ({ kind, file: data.file, name: data.name, reason });
  const suite = data.details.type === "suite";
  const error = data.details.error;
  if (type === "test:fail") {
    // The subtest that failed was counted already.
    return error?.failureType === "subtestsFailed" ? undefined : of("failed", error?.cause?.message ?? error?.message);
  }
  if (data.skip !== undefined) {
    return typeof data.skip === "string" && data.skip !== ""
      ? of("skipped", data.skip)
      : of("failed", "skipped without a reason");
  }
  if (data.todo !== undefined) return of("failed", "marked as todo");
  if (data.name === data.file) return of("failed", "the file ran no test");
  return suite ? undefined : of("passed");
}
