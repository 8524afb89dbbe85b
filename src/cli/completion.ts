/** Shell completion: the only file that knows @bomb.sh/tab. */
import shell, { script } from "@bomb.sh/tab";
import { Pyro } from "../sdk/pyro.ts";
import type { CommandDescription, FieldDescription } from "./description.ts";

/** A person waits with a finger on the key. */
const NAMES_DEADLINE_MS = 2000;

/** The script that makes `shellName` ask `pyro complete -- …`. */
export function completionScript(shellName: string): void {
  script(shellName, "pyro", "pyro");
}

/** Answers a shell that asks what may come next. */
export async function complete(table: readonly CommandDescription[], words: readonly string[]): Promise<number> {
  const asked = table.find(({ path }) => path.every((word, index) => words[index] === word));
  const names = await namesFor(asked?.positionals[0]?.field);
  for (const { path, summary, positionals, flags } of table) {
    const command = shell.command(path.join(" "), summary);
    for (const field of positionals) {
      command.argument(field.field, (offer) => {
        for (const name of field.choices ?? (field === positionals[0] ? names : [])) offer(name, "");
      });
    }
    for (const field of flags) {
      if (field.kind === "boolean") command.option(field.flag.slice(2), field.description);
      else command.option(field.flag.slice(2), field.description, offerChoices(field));
    }
    command.option("json", "print the result as JSON");
    command.option("quiet", "print no progress and no summary", "q");
  }
  shell.parse([...words]);
  return 0;
}

function offerChoices({ choices }: FieldDescription): (offer: (value: string, description: string) => void) => void {
  return (offer) => {
    for (const choice of choices ?? []) offer(choice, "");
  };
}

/** No names are better than a shell that hangs, or an error in the middle of a line. */
async function namesFor(field: string | undefined): Promise<string[]> {
  if (field !== "environment" && field !== "workspace") return [];
  using pyro = new Pyro();
  try {
    const options = { signal: AbortSignal.timeout(NAMES_DEADLINE_MS) };
    if (field === "environment") return (await pyro.env.list({}, options)).environments.map(({ name }) => name);
    const { workspaces } = await pyro.workspace.list({}, options);
    return workspaces.map(({ name, workspace_id: id }) => name ?? id);
  } catch {
    return [];
  }
}
