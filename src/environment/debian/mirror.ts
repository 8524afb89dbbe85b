/** Which server packages are fetched from. It is a matter of this host only: no image ever names it. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { readTextIfPresent } from "../../host/files.ts";
import type { DebianSuite } from "../definition.ts";

export interface DebianMirror {
  readonly main: string;
  readonly security: string;
}

/** What a Debian system is told to use; also what every image of ours is told. */
export const PUBLIC_MIRROR: DebianMirror = {
  main: "http://deb.debian.org/debian",
  security: "http://deb.debian.org/debian-security",
};

/** One repository of the host's apt configuration. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** The key it must be signed with, when its entry names one. */
  readonly signedBy: string | undefined;
}

/**
 * The mirror to fetch `suite` from: `PYRO_DEBIAN_MIRROR`, else what this host's apt uses for the same suite, else the
 * public one. The variable holds the archive's URL and, when it is not at `…-security` beside it, that of the security
 * archive, separated by a space.
 *
 * @throws PyroError `invalid_argument` when the variable holds no http(s) URL.
 */
export async function debianMirror(
  suite: DebianSuite,
  env: NodeJS.ProcessEnv,
  aptDirectory = "/etc/apt",
): Promise<DebianMirror> {
  const chosen = env["PYRO_DEBIAN_MIRROR"]?.trim();
  if (chosen !== undefined && chosen !== "") return mirrorFromVariable(chosen);
  return mirrorFromSources(await hostSources(aptDirectory), suite);
}

/** The host's entries for `suite`, as far as it has any; they must be Debian's own by key. */
export function mirrorFromSources(sources: readonly AptSource[], suite: DebianSuite): DebianMirror {
  const uriOf = (wanted: string): string | undefined =>
    sources.find((source) => source.suite === wanted && isDebians(source))?.uri;
  const main = uriOf(suite) ?? PUBLIC_MIRROR.main;
  return {
    main,
    security: uriOf(`${suite}-security`) ?? (main === PUBLIC_MIRROR.main ? PUBLIC_MIRROR.security : `${main}-security`),
  };
}

/** Many vendors name their suites after Debian's; their entries name a key of their own. */
function isDebians(source: AptSource): boolean {
  return (
    /^https?:\/\//.test(source.uri) &&
    source.components.includes("main") &&
    (source.signedBy === undefined || source.signedBy.includes("debian-archive"))
  );
}

function mirrorFromVariable(value: string): DebianMirror {
  const [main = "", security] = value.split(/\s+/).map((uri) => uri.replace(/\/+$/, ""));
  for (const uri of [main, security ?? main]) {
    if (!/^https?:\/\/[^\s"'\\]+$/.test(uri)) {
      throw new PyroError(
        "invalid_argument",
        `PYRO_DEBIAN_MIRROR holds \`${uri}\`, which is not an http or https URL`,
        {
          remedy: `set it to a URL such as ${PUBLIC_MIRROR.main}, or unset it`,
        },
      );
    }
  }
  return { main, security: security ?? `${main}-security` };
}

async function hostSources(aptDirectory: string): Promise<AptSource[]> {
  const parts = join(aptDirectory, "sources.list.d");
  const names: string[] = await readdir(parts).catch(() => []);
  const files = [join(aptDirectory, "sources.list"), ...names.toSorted().map((name) => join(parts, name))];
  const sources: AptSource[] = [];
  for (const file of files) {
    // What we may not read we do not use: this only picks a nearby server.
    const text = await readFile(file, "utf8").catch(() => "");
    sources.push(...(file.endsWith(".sources") ? parseDeb822Sources(text) : parseOneLineSources(text)));
  }
  return await Promise.all(sources.map(resolveMirrorList));
}

/** Debian's cloud images say `mirror+file:/etc/apt/mirrors/debian.list`: a file of mirrors, best first. */
async function resolveMirrorList(source: AptSource): Promise<AptSource> {
  const file = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(source.uri)?.[1];
  if (file === undefined) return source;
  const list = (await readTextIfPresent(file)) ?? "";
  const first = list.split("\n").find((line) => /^https?:\/\//.test(line));
  return { ...source, uri: trimUri(first?.split(/\s/)[0] ?? source.uri) };
}

/** sources.list(5), "ONE-LINE-STYLE FORMAT". */
export function parseOneLineSources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (match === null) continue;
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(options)?.[1];
    sources.push({ uri: trimUri(uri), suite, components: components.trim().split(/\s+/), signedBy });
  }
  return sources;
}

/** sources.list(5), "DEB822-STYLE FORMAT". */
export function parseDeb822Sources(text: string): AptSource[] {
  return text.split(/\n(?:[ \t]*\n)+/).flatMap((stanza) => {
    const fields = parseFields(stanza);
    const words = (name: string): string[] => (fields.get(name) ?? "").split(/\s+/).filter((word) => word !== "");
    if (!words("types").includes("deb") || fields.get("enabled")?.trim() === "no") return [];
    const common = { components: words("components"), signedBy: fields.get("signed-by") };
    return words("uris").flatMap((uri) => words("suites").map((suite) => ({ uri: trimUri(uri), suite, ...common })));
  });
}

/** Fields of one deb822 stanza, names in lower case, continuation lines joined. */
export function parseFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let current: string | undefined;
  for (const line of stanza.split("\n")) {
    if (line.startsWith("#")) continue;
    const field = /^([^\s:]+):(.*)$/.exec(line);
    if (field?.[1] !== undefined) {
      current = field[1].toLowerCase();
      fields.set(current, (field[2] ?? "").trim());
    } else if (current !== undefined && /^\s/.test(line)) {
      fields.set(current, `${fields.get(current) ?? ""} ${line.trim()}`.trim());
    }
  }
  return fields;
}

const trimUri = (uri: string): string => uri.replace(/\/+$/, "");
