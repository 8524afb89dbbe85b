/** Imports point one way. This table is the only place where the order of the folders is written down. */
import { posix } from "node:path";
import { type Rule, type SourceFile, type Violation, withoutComments } from "./tree.ts";

/** What each folder of src/ may import, besides itself. ARCHITECTURE.md says what each is for. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  contract: [],
  host: ["contract"],
  guest: ["contract", "host"],
  vmm: ["contract", "host"],
  environment: ["contract", "host"],
  machine: ["contract", "host", "guest", "vmm", "environment"],
  doctor: ["contract", "host", "vmm", "environment"],
  workspace: ["contract", "host", "machine"],
  server: ["contract", "host", "guest", "vmm", "environment", "machine", "workspace", "doctor"],
  // Never the server's code: it starts the server as a process, by path.
  sdk: ["contract", "host", "doctor"],
  cli: ["contract", "sdk"],
  mcp: ["contract", "sdk"],
  // The public surface, and the programs: the files that `pyro` and the launcher start, and what those load.
  "index.ts": ["contract", "sdk"],
  "program.ts": ["cli", "mcp"],
  "bin.ts": ["contract", "host", "program.ts"],
  "server-bin.ts": ["contract", "host", "server"],
};

/** A module of Node, or a package, that only these folders may import; the message says what to use instead. */
const RESERVED: readonly { module: RegExp; folders: readonly string[]; instead: string }[] = [
  { module: /^(node:)?child_process$/, folders: ["host"], instead: "src/host/process.ts starts programs" },
  {
    module: /^zod(\/|$)/,
    folders: ["contract", "environment", "vmm", "machine", "workspace", "cli", "mcp", "sdk"],
    instead: "src/contract has the schemas; records on disk have theirs beside them",
  },
];

/** `import … from "x"`, `export … from "x"`, `import "x"` and `import("x")`; the first group says whether only types. */
const IMPORT = /\b(?:import|export)(\s+type\b)?[^;"'()]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g;

interface Import {
  readonly module: string;
  readonly line: number;
  /** It is gone after compilation: a layer's order counts for it, loading a reserved module does not. */
  readonly typesOnly: boolean;
}

export const layers: Rule = {
  name: "layers",
  covers: (path) => path.startsWith("src/") && path.endsWith(".ts") && !path.startsWith("src/guest/generated/"),
  leastFiles: 20,
  check: (file) =>
    imports(file).flatMap((each) =>
      problem(file.path, each).map((message) => ({ path: file.path, line: each.line, message })),
    ),
};

function imports(file: SourceFile): Import[] {
  const text = withoutComments(file.text);
  return [...text.matchAll(IMPORT)].map((match) => ({
    module: match[2] ?? match[3] ?? "",
    line: text.slice(0, match.index).split("\n").length,
    typesOnly: match[1] !== undefined,
  }));
}

function problem(path: string, { module, typesOnly }: Import): Violation["message"][] {
  const folder = folderOf(path);
  const allowed = MAY_IMPORT[folder];
  if (allowed === undefined) {
    return [`src/${folder} has no place in the layers: add it to MAY_IMPORT in tidy/layers.ts`];
  }
  const reserved = typesOnly ? undefined : RESERVED.find((each) => each.module.test(module));
  if (reserved !== undefined && !reserved.folders.includes(folder)) {
    return [`src/${folder} must not import ${module}: ${reserved.instead}`];
  }
  if (!module.startsWith(".")) return [];
  const target = posix.join(posix.dirname(path), module);
  if (!target.startsWith("src/")) return target === "package.json" ? [] : [`src/ must not import ${target}`];
  const to = folderOf(target);
  return to === folder || allowed.includes(to)
    ? []
    : [`src/${folder} must not import src/${to}: imports point down, and siblings do not know each other`];
}

/** `host` for src/host/files.ts, `bin.ts` for src/bin.ts. */
const folderOf = (path: string): string => path.split("/")[1] ?? "";
