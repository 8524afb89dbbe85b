/** `pyro workspace patch apply`. */
import type { Pyro } from "../../sdk/pyro.ts";
import type { CliCommand } from "../invocation.ts";
import { patched } from "../render/patch.ts";
import { standardInput } from "../standard-input.ts";
import { showAnswer } from "./answer.ts";

type ApplyInput = Parameters<Pyro["workspace"]["patch"]["apply"]>[0];

/** Exit status where a patch does not apply, as of git apply. */
const DOES_NOT_APPLY = 1;

/** The patch is a file's, a flag's or standard input's. */
export const apply: CliCommand = async (invocation) => {
  const { pyro, interruption } = invocation;
  const { patch_path: path, ...input } = invocation.input as unknown as ApplyInput;
  const { signal } = interruption;
  const takesInput = input.patch === undefined && (path === undefined || path === "-");
  // As cat and git apply: from a terminal too.
  const stdin = takesInput ? standardInput({ interactive: true }) : undefined;
  const nothing = takesInput && stdin === undefined ? { patch: "" } : {};
  const file = takesInput || path === undefined ? {} : { patch_path: path };
  try {
    const result = await pyro.workspace.patch.apply({ ...input, ...file, ...nothing }, { signal, stdin });
    return showAnswer(invocation, result, patched) || (result.applies ? 0 : DOES_NOT_APPLY);
  } finally {
    // Whoever started us may keep the other end of it open and silent.
    stdin?.destroy();
  }
};
