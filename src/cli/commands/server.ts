/** `pyro server …`. */
import type { CliCommand } from "../invocation.ts";
import { toJson } from "../json.ts";
import { serverStatus, serverStopped } from "../render/host.ts";

export const status: CliCommand = async ({ pyro, json, output }) => {
  const result = await pyro.server.status();
  output.result(json ? toJson(result) : serverStatus(result));
  return 0;
};

export const stop: CliCommand = async ({ pyro, input, json, output }) => {
  const result = await pyro.server.stop(input);
  output.result(json ? toJson(result) : serverStopped(result));
  return 0;
};
