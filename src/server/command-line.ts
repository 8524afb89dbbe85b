/** A command as the user gave it, in the forms in which it is run and shown. */
import type { Command } from "../contract/run.ts";

/** Debian's default for root (login.defs, ENV_SUPATH). */
const GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/** The whole environment of a command: the guest's own, then the caller's on top. */
export function environmentOf(variables: readonly string[], user: string): Record<string, string> {
  const environment: Record<string, string> = {
    PATH: GUEST_PATH,
    LANG: "C.UTF-8",
    HOME: user === "root" || user === "0" ? "/root" : `/home/${user}`,
  };
  for (const variable of variables) {
    const at = variable.indexOf("=");
    environment[variable.slice(0, at)] = variable.slice(at + 1);
  }
  return environment;
}

function quoted(word: string): string {
  return PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
