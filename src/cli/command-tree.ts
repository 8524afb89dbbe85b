/** The commands as a commander tree: parsing, help, suggestions. */
import { Command, CommanderError, Option } from "commander";
import { PyroError } from "../contract/error.ts";
import { EXTRA_FLAGS, GROUP_ALIASES, GROUP_SUMMARIES, WORKSPACE_VARIABLE } from "./commands.ts";
import type { CommandDescription, FieldDescription } from "./description.ts";
import { parseValue } from "./field-value.ts";
import { commandOf } from "./words-after-dashes.ts";

/** A command line that was understood. */
export interface ParsedCall {
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly extras: Readonly<Record<string, unknown>>;
  readonly json: boolean;
  readonly quiet: boolean;
  /** It is about a workspace, and none was named. */
  readonly workspaceLeftOut: boolean;
}

/** What the command line asks for: a call, or a text (help, the version) that is all there is to say. */
export type Parsed = { readonly call: ParsedCall } | { readonly text: string };

interface Words {
  readonly own: readonly string[];
  readonly rest: readonly string[] | undefined;
}

/** Understands the words of a command line. @throws PyroError invalid_argument */
export function parseWords(table: readonly CommandDescription[], words: Words, version: string): Parsed {
  let text = "";
  let call: ParsedCall | undefined;
  const root = makeRoot(version, (piece) => (text += piece));
  for (const description of table) {
    addCommand(
      root,
      description,
      (parsed, positionals) => (call = callOf(description, { flags: parsed, positionals, rest: words.rest })),
    );
  }
  try {
    root.parse(words.own.length === 0 ? ["--help"] : [...words.own], { from: "user" });
  } catch (failure) {
    if (!(failure instanceof CommanderError)) throw failure;
    // commander's way to say that a noun came without its verb.
    if (failure.code === "commander.help" && failure.exitCode !== 0) throw verbMissing(table, words.own);
    if (failure.exitCode !== 0) throw usageError(failure, words);
  }
  return call === undefined ? { text } : { call };
}

function makeRoot(version: string, write: (text: string) => void): Command {
  const root = new Command("pyro");
  root
    .description("Disposable microVM workspaces for coding agents.")
    .version(`pyro ${version}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help; also after any command")
    .helpCommand("help [command]", "print help for a command")
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => undefined })
    .addHelpText("after", ROOT_HELP);
  return root;
}

function addCommand(
  root: Command,
  description: CommandDescription,
  action: (flags: Record<string, unknown>, positionals: string[]) => void,
): void {
  let parent = root;
  for (const [index, word] of description.path.slice(0, -1).entries()) {
    const path = description.path.slice(0, index + 1).join(" ");
    parent = parent.commands.find((each) => each.name() === word) ?? addGroup(parent, word, path);
  }
  const command = parent.command(description.path.at(-1) ?? "");
  command.description(description.summary).allowExcessArguments(false);
  command.usage(usageOf(description));
  for (const { field, required, list, description: help } of description.positionals) {
    const name = list ? `${field}...` : field;
    command.argument(required && !mayBeLeftOut(description) ? `<${name}>` : `[${name}]`, help);
  }
  for (const field of [...description.flags, ...(EXTRA_FLAGS[description.name] ?? [])])
    command.addOption(optionOf(field));
  command.option("--json", "print the result as JSON, and nothing else on standard output");
  command.option("-q, --quiet", "print no progress and no summary");
  command.addHelpText("after", `\nExamples:\n${description.examples.map((example) => `  $ ${example}`).join("\n")}`);
  command.action(() => action(command.opts(), command.args));
}

function addGroup(parent: Command, name: string, path: string): Command {
  const group = parent.command(name).description(GROUP_SUMMARIES[path] ?? name);
  const alias = GROUP_ALIASES[path];
  return alias === undefined ? group : group.alias(alias);
}

/** Whether the command is about a workspace that need not be named. */
const mayBeLeftOut = ({ positionals }: CommandDescription): boolean => positionals[0]?.field === "workspace";

/** The words given by position; a workspace that was left out is the one that the variable names, or to be found. */
function completePositionals(
  description: CommandDescription,
  given: readonly string[],
): readonly (string | undefined)[] {
  const { positionals } = description;
  const needed = positionals.filter(({ required }) => required).length;
  if (!mayBeLeftOut(description) || given.length >= needed) return given;
  const named = process.env[WORKSPACE_VARIABLE] ?? "";
  if (given.length === needed - 1) return [named === "" ? undefined : named, ...given];
  const missing = positionals.findLast(({ required }) => required)?.field ?? "workspace";
  throw new PyroError("invalid_argument", `missing required argument '${missing}'`, {
    remedy: `pyro ${description.path.join(" ")} --help`,
  });
}

function usageOf({ positionals, rest }: CommandDescription): string {
  return [
    "[options]",
    ...positionals.map(({ field, list, required }) => {
      const name = `${field}${list ? "..." : ""}`;
      return required ? `<${name}>` : `[${name}]`;
    }),
    ...(rest === undefined ? [] : [`-- <${rest.field}...>`]),
  ].join(" ");
}

function optionOf(field: FieldDescription): Option {
  const { flag, short, kind, choices, description, defaultValue, list } = field;
  const names = short === undefined ? flag : `-${short}, ${flag}`;
  const placeholder = kind === "boolean" ? "" : ` <${choices?.join("|") ?? (kind === "string" ? "value" : "number")}>`;
  const help =
    kind === "boolean" || defaultValue === undefined || Array.isArray(defaultValue)
      ? description
      : `${description} (default: ${JSON.stringify(defaultValue)})`;
  const option = new Option(`${names}${placeholder}`, help);
  if (kind === "boolean") return option;
  return option.argParser((text: string, before: unknown) => {
    const value = parseValue(field, text);
    return list ? [...((before as unknown[] | undefined) ?? []), value] : value;
  });
}

function callOf(
  description: CommandDescription,
  typed: { flags: Record<string, unknown>; positionals: string[]; rest: readonly string[] | undefined },
): ParsedCall {
  const input: Record<string, unknown> = {};
  const flagValue = ({ flag }: FieldDescription): unknown => typed.flags[camelCase(flag)];
  for (const field of description.flags) {
    const value = flagValue(field);
    if (value !== undefined) input[field.field] = value;
  }
  const positionals = completePositionals(description, typed.positionals);
  description.positionals.forEach((field, index) => {
    const text = positionals[index];
    // Only the last one can be a list: it has all that are left.
    if (field.list) input[field.field] = positionals.slice(index).filter((each) => each !== undefined);
    else if (text !== undefined) input[field.field] = parseValue({ ...field, flag: `<${field.field}>` }, text);
  });
  if (description.rest !== undefined) input[description.rest.field] = commandOf(restOf(description, typed.rest));
  else if (typed.rest !== undefined && typed.rest.length > 0) {
    throw new PyroError("invalid_argument", `pyro ${description.path.join(" ")} takes nothing after \`--\``);
  }
  const extras = Object.fromEntries(
    (EXTRA_FLAGS[description.name] ?? []).map((field) => [field.field, flagValue(field)]),
  );
  return {
    name: description.name,
    input,
    extras,
    json: typed.flags["json"] === true,
    quiet: typed.flags["quiet"] === true,
    workspaceLeftOut: mayBeLeftOut(description) && input["workspace"] === undefined,
  };
}

function restOf(description: CommandDescription, rest: readonly string[] | undefined): readonly string[] {
  if (rest !== undefined && rest.length > 0 && rest[0] !== "") return rest;
  throw new PyroError("invalid_argument", "no command was given", {
    remedy: `write it after \`--\`: ${description.examples[0] ?? ""}`,
  });
}

const camelCase = (flag: string): string =>
  flag.slice(2).replaceAll(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());

function verbMissing(table: readonly CommandDescription[], own: readonly string[]): PyroError {
  const alias = (word: string): string =>
    Object.entries(GROUP_ALIASES).find(([, short]) => short === word)?.[0] ?? word;
  const nouns = own.filter((word) => !word.startsWith("-")).map(alias);
  const below = table.filter(({ path }) => nouns.every((noun, index) => path[index] === noun));
  const verbs = [...new Set(below.map(({ path }) => path[nouns.length] ?? ""))];
  const noun = nouns.join(" ");
  return new PyroError("invalid_argument", `pyro ${noun} needs a command: ${verbs.join(", ")}`, {
    remedy: `pyro ${noun} --help`,
  });
}

/** commander's words in our form: no "error:", and its suggestion as the remedy. */
function usageError(failure: CommanderError, { own, rest }: Words): PyroError {
  const [first = "", ...others] = failure.message.replace(/^error: /, "").split("\n");
  const suggestion = /Did you mean (?:one of )?(.+)\?\)/.exec(others.join(" "))?.[1];
  const words = own.filter((word) => !word.startsWith("-"));
  const misplaced = rest === undefined && words[0] === "run" && words.length > 1;
  const remedy =
    suggestion !== undefined
      ? `did you mean ${suggestion}?`
      : misplaced
        ? `write the guest's command after \`--\`: pyro run ${words[1] ?? "debian:12"} -- ${words.slice(2).join(" ") || "git --version"}`
        : "pyro --help";
  return new PyroError("invalid_argument", first, { remedy });
}

const ROOT_HELP = `
Examples:
  $ pyro doctor                                  can this host run a guest?
  $ pyro run debian:12 -- git --version          one command in a fresh machine
  $ pyro run debian:12 -- 'ls /etc | wc -l'      one word with blanks is a shell script
  $ echo data | pyro run debian:12 -- wc -c      standard input goes in
  $ pyro workspace create debian:12 --name api   a machine that stays, with a /workspace
  $ pyro ws exec api -- git clone ...            commands in it

Exit status: that of the guest's command; 124 its time limit; 125 pyro failed; 126, 127 as a shell
gives them; 130 interrupted; 2 wrong usage.

Variables: PYRO_CACHE_DIR, PYRO_STATE_DIR, PYRO_RUNTIME_DIR, PYRO_CONFIG_DIR, PYRO_KERNEL,
PYRO_SERVER_IDLE_SECONDS, PYRO_DEBUG=1 for stack traces, and PYRO_WORKSPACE: the workspace that is meant where
none is named. Without it that is the one that was made from the current directory.`;
