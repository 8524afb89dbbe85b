import type { Command } from "../contract/run.ts";

/** What makes one word a line for a shell and not the name of a program. */
const SHELL_CHARACTERS = /[\s|&;<>()$`\\"'*?[\]#~{}!]/;

/** Splits the command line at its first `--`: pyro's own words, and those of the guest's command. */
export function splitAtDashes(words: readonly string[]): {
  own: readonly string[];
  rest: readonly string[] | undefined;
} {
  const at = words.indexOf("--");
  return at === -1 ? { own: words, rest: undefined } : { own: words.slice(0, at), rest: words.slice(at + 1) };
}

/** The command that `words` mean: one word with blanks or shell characters is a script, all else is a program. */
export function commandOf(words: readonly string[]): Command {
  const [first = "", ...others] = words;
  return others.length === 0 && SHELL_CHARACTERS.test(first) ? first : [first, ...others];
}
