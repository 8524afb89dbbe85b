/** A command as the user gave it, in the forms in which it is run and shown. */
import type { Command } from "../contract/run.ts";

/** Words that a shell takes as they are. */
const PLAIN_WORD = /^[A-Za-z0-9_/:=.,@%+-]+$/;

/** The program and its arguments. A script runs in no login shell: that would put another PATH over the caller's. */
export function argvOf(command: Command): readonly string[] {
  return typeof command === "string" ? ["/bin/sh", "-c", command] : command;
}

/** The command as a shell would take it. */
export function displayed(command: Command): string {
  return typeof command === "string" ? command : command.map(quoted).join(" ");
}

/**
 * The variables of a command: what the caller says, on top of an encoding. The rest (PATH, HOME, USER, SHELL) the guest
 * agent fills in, which knows the user.
 */
export function environmentOf(variables: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = { LANG: "C.UTF-8" };
  for (const variable of variables) {
    const at = variable.indexOf("=");
    environment[variable.slice(0, at)] = variable.slice(at + 1);
  }
  return environment;
}

/**
 * Variables that make git work in a workspace whoever runs it: it refuses a repository that is another user's
 * (safe.directory, git-config(1)). In a machine of one's own all users are oneself.
 */
export const GIT_TRUST: readonly string[] = [
  "GIT_CONFIG_COUNT=1",
  "GIT_CONFIG_KEY_0=safe.directory",
  "GIT_CONFIG_VALUE_0=*",
];

function quoted(word: string): string {
  return PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
