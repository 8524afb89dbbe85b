/** Where things are in the checkout. Every other script derives its paths from here. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** An absolute path inside the checkout. */
export const inProject = (...parts) => join(ROOT, ...parts);

/** What is shipped: bundles, declarations, the static programs. */
export const DIST = inProject("dist");
/** TypeScript compiled for the tests, one file for each source file. */
export const COMPILED = inProject(".build");
/** What may be deleted at any time and makes the next run faster: fingerprints, the tests' environments. */
export const CACHE = inProject(".cache");
/** The target is named even though it is the host's own: without it `crt-static` would also apply to proc macros. */
export const RUST_TARGET = "x86_64-unknown-linux-gnu";

export const packageManifest = () => JSON.parse(readFileSync(inProject("package.json"), "utf8"));

/** A program of node_modules, by its name. */
export const tool = (name) => inProject("node_modules", ".bin", name);
