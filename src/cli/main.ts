/** The command line: understand it, do the call, say how it ended. */
import { PyroError } from "../contract/error.ts";
import { VERSION } from "../contract/version.ts";
import type { Pyro } from "../sdk/pyro.ts";
import { commandTable } from "./command-table.ts";
import { type ParsedCall, parseWords } from "./command-tree.ts";
import { COMMANDS } from "./commands.ts";
import { errorJson, errorLines } from "./error-report.ts";
import { type Interruption, listenForInterruption } from "./interruption.ts";
import type { FrontEnds } from "./invocation.ts";
import { makeOutput } from "./output.ts";
import { splitAtDashes } from "./words-after-dashes.ts";

/** Runs pyro with the words after its name and ends the process. */
export async function main(words: readonly string[], frontEnds: FrontEnds): Promise<void> {
  const interruption = listenForInterruption();
  process.on("uncaughtException", (failure) => {
    process.stderr.write(errorLines(PyroError.from(failure)));
    process.exit(PyroError.from(failure).exitCode);
  });
  const status = await outcome(words, interruption, frontEnds);
  await flushed();
  // Not left to the event loop: a standard input that somebody holds open must not keep us.
  process.exit(interruption.signal.aborted ? interruption.exitStatus() : status);
}

async function outcome(words: readonly string[], interruption: Interruption, frontEnds: FrontEnds): Promise<number> {
  const { own, rest } = splitAtDashes(words);
  let json = own.includes("--json");
  try {
    if (own[0] === "complete") {
      const { complete } = await import("./completion.ts");
      return await complete(await commandTable(), rest ?? []);
    }
    const parsed = parseWords(await commandTable(), { own, rest }, VERSION);
    if ("text" in parsed) {
      process.stdout.write(parsed.text);
      return 0;
    }
    json = parsed.call.json;
    return await perform(parsed.call, interruption, frontEnds);
  } catch (failure) {
    const error = PyroError.from(failure);
    // Who was interrupted knows why; who went away cannot be told.
    if (error.code === "cancelled" && interruption.signal.aborted && !json) return error.exitCode;
    if (json) process.stdout.write(errorJson(error));
    else process.stderr.write(errorLines(error));
    return error.exitCode;
  }
}

async function perform(call: ParsedCall, interruption: Interruption, frontEnds: FrontEnds): Promise<number> {
  const { Pyro } = await import("../sdk/pyro.ts");
  const command = await COMMANDS[call.name]?.();
  if (command === undefined) throw new PyroError("internal", `the command ${call.name} is in the table and not here`);
  const output = makeOutput({ quiet: call.quiet || call.json });
  using pyro = new Pyro();
  return await command({
    pyro,
    input: call.workspaceLeftOut
      ? { ...call.input, workspace: await workspaceMeant(call, pyro, interruption) }
      : call.input,
    json: call.json,
    extras: call.extras,
    output,
    interruption,
    frontEnds,
  });
}

async function workspaceMeant({ name }: ParsedCall, pyro: Pyro, { signal }: Interruption): Promise<string> {
  const { workspaceOfDirectory } = await import("./default-workspace.ts");
  return await workspaceOfDirectory(pyro, { deleted: name === "workspace.restore", signal });
}

/** Settles when both streams have passed on what was written to them, or cannot. */
async function flushed(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(async (stream) => {
      if (stream.destroyed || stream.writableLength === 0) return;
      await new Promise<void>((resolve) => {
        stream.write("", () => resolve());
        stream.once("error", () => resolve());
      });
    }),
  );
}
