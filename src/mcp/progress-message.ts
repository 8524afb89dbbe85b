/** One line for an event: its facts, in the order in which the contract names them. */
export function progressMessage(event: unknown): string {
  return facts(event).join(" ");
}

function facts(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [String(value)];
  return Object.entries(value as Readonly<Record<string, string | number | boolean | object | undefined>>).flatMap(
    ([name, entry]) => {
      // The kind of an event shows in what it says.
      if (name === "type" || entry === undefined) return [];
      return typeof entry === "object" ? facts(entry) : [`${name}=${entry}`];
    },
  );
}
