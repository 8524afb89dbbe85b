/** JSON that may be none: written by a process that was killed, by an older build, or by a guest. */
import { readTextIfPresent } from "./files.ts";

/** What the text says; undefined when it is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a file says; undefined when there is none, or what is there cannot be read or is no JSON. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readTextIfPresent(path).catch(() => undefined);
  return text === undefined ? undefined : parseJson(text);
}
