/** The form of every JSON answer: sorted keys, two blanks, ASCII, one newline at its end. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(sorted(value), undefined, 2);
  // What a terminal or a strict parser may not take is written as an escape; the value is the same.
  return `${text.replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([key, entry]) => [key, sorted(entry)]));
}
