/** What a person typed for a field, as the value that the operation takes. */
import { PyroError } from "../contract/error.ts";
import type { FieldDescription } from "./description.ts";

const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/** The value of `text` for `field`. @throws PyroError invalid_argument, naming the flag, the value and what would do */
export function parseValue(field: FieldDescription, text: string): string | number {
  if (field.kind === "integer" || field.kind === "number") return parseNumber(field, text);
  if (field.choices !== undefined && !field.choices.includes(text))
    throw wrong(field, text, `one of ${field.choices.join(", ")}`);
  if (field.pattern !== undefined && !new RegExp(field.pattern).test(text)) throw wrong(field, text, field.description);
  if (text === "") throw wrong(field, text, "a value that is not empty");
  return text;
}

function parseNumber(field: FieldDescription, text: string): number {
  const whole = field.kind === "integer";
  const value = Number(text);
  const inRange =
    value >= (field.minimum ?? -Infinity) && value > (field.above ?? -Infinity) && value <= (field.maximum ?? Infinity);
  if ((whole ? INTEGER : NUMBER).test(text) && inRange) return value;
  throw wrong(field, text, `${whole ? "a whole number" : "a number"}${rangeOf(field)}`);
}

function rangeOf({ minimum, above, maximum }: FieldDescription): string {
  const low = above === undefined ? minimum : `more than ${above}`;
  if (low === undefined) return maximum === undefined ? "" : ` up to ${maximum}`;
  if (maximum === undefined) return ` from ${low}`;
  return above === undefined ? ` from ${low} to ${maximum}` : ` ${low} and at most ${maximum}`;
}

function wrong(field: FieldDescription, text: string, wanted: string): PyroError {
  return new PyroError("invalid_argument", `${field.flag} takes ${wanted}, not ${JSON.stringify(text)}`);
}
