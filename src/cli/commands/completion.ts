/** `pyro completion`. */
import { completionScript } from "../completion.ts";
import type { CliCommand } from "../invocation.ts";

export const completion: CliCommand = ({ input }) => {
  completionScript(String(input["shell"]));
  return Promise.resolve(0);
};
