import { PyroError } from "../contract/error.ts";

const IDLE_SECONDS_DEFAULT = 300;

/** How long a server with nothing to do stays: `PYRO_SERVER_IDLE_SECONDS`. */
export function idleMs(env: NodeJS.ProcessEnv): number {
  const text = env["PYRO_SERVER_IDLE_SECONDS"];
  if (text === undefined || text === "") return IDLE_SECONDS_DEFAULT * 1000;
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds > 0 && seconds <= 86_400) return seconds * 1000;
  throw new PyroError("invalid_argument", `PYRO_SERVER_IDLE_SECONDS is ${JSON.stringify(text)}`, {
    remedy: "set it to a number of seconds up to 86400, or unset it",
  });
}
