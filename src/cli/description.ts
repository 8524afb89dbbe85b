/** The commands of the CLI as plain data, derived from the contract's table. */
import * as z from "zod";
import type { CliShape, Operation } from "../contract/operation.ts";
import { allOperations } from "../contract/operations.ts";

/** One input field as a flag or a positional. */
export interface FieldDescription {
  /** Name in the operation's input. */
  readonly field: string;
  /** `--vcpu-count`. */
  readonly flag: string;
  readonly short: string | undefined;
  readonly kind: "boolean" | "integer" | "number" | "string";
  /** May be given several times. */
  readonly list: boolean;
  readonly required: boolean;
  readonly description: string;
  readonly choices: readonly string[] | undefined;
  readonly minimum: number | undefined;
  /** The minimum itself is not allowed. */
  readonly above: number | undefined;
  readonly maximum: number | undefined;
  readonly pattern: string | undefined;
  readonly defaultValue: unknown;
}

export interface CommandDescription {
  /** The operation's name. */
  readonly name: string;
  readonly path: readonly string[];
  readonly summary: string;
  readonly examples: readonly string[];
  readonly positionals: readonly FieldDescription[];
  /** The field that takes the words after `--`. */
  readonly rest: FieldDescription | undefined;
  readonly flags: readonly FieldDescription[];
}

/** Every operation that is on the command line. */
export function describeCommands(): CommandDescription[] {
  return allOperations().flatMap((operation) => (operation.cli === null ? [] : [describe(operation, operation.cli)]));
}

function describe(operation: Operation, cli: CliShape): CommandDescription {
  const schema = z.toJSONSchema(operation.input, { io: "input" }) as ObjectSchema;
  const fields = Object.entries(schema.properties)
    .filter(([field]) => operation.plumbing?.includes(field) !== true)
    .map(([field, property]) =>
      describeField(field, property, {
        required: schema.required?.includes(field) === true,
        short: cli.short?.[field],
        flag: cli.flags?.[field] ?? field,
      }),
    );
  const positionals = (cli.positionals ?? []).flatMap((name) => fields.filter(({ field }) => field === name));
  return {
    name: operation.name,
    path: cli.path,
    summary: operation.summary,
    examples: cli.examples,
    positionals,
    rest: fields.find(({ field }) => field === cli.rest),
    flags: fields.filter((field) => !positionals.includes(field) && field.field !== cli.rest),
  };
}

/** The parts of JSON Schema that the inputs of operations use. */
interface PropertySchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly items?: PropertySchema;
}

interface ObjectSchema {
  readonly properties: Readonly<Record<string, PropertySchema>>;
  readonly required?: readonly string[];
}

function describeField(
  field: string,
  property: PropertySchema,
  { required, short, flag }: { required: boolean; short: string | undefined; flag: string },
): FieldDescription {
  const value = property.items ?? property;
  return {
    field,
    flag: `--${flag.replaceAll("_", "-")}`,
    short,
    kind: value.type === "boolean" || value.type === "integer" || value.type === "number" ? value.type : "string",
    list: property.type === "array",
    required,
    description: property.description ?? "",
    choices: value.enum,
    minimum: value.minimum,
    above: value.exclusiveMinimum,
    maximum: value.maximum,
    pattern: value.pattern,
    defaultValue: property.default,
  };
}
