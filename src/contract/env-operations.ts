/** Operations on environments. */
import * as z from "zod";
import { environmentDetails, environmentSummary, pullProgress } from "./environment.ts";
import { operation } from "./operation.ts";

const environment = z.string().min(1).describe("name of an environment, for example debian:12");

export const envList = operation({
  name: "env.list",
  summary: "List the environments and which are installed",
  input: z.object({}),
  output: z.object({ catalog_version: z.string(), environments: z.array(environmentSummary) }),
  events: null,
  place: "server",
  cli: { path: ["env", "list"], examples: ["pyro env list", "pyro env list --json"] },
  mcp: { readOnly: true, destructive: false },
});

export const envPull = operation({
  name: "env.pull",
  summary: "Install an environment, ready for fast starts",
  input: z.object({
    environment,
    force: z.boolean().default(false).describe("build it again even when it is installed and whole"),
  }),
  output: environmentDetails,
  events: pullProgress,
  place: "server",
  cli: {
    path: ["env", "pull"],
    positionals: ["environment"],
    examples: ["pyro env pull debian:12", "pyro env pull debian:12-build --force"],
  },
  mcp: { readOnly: false, destructive: false },
});

export const envInspect = operation({
  name: "env.inspect",
  summary: "Show one environment, its files and their digests",
  input: z.object({
    environment,
    verify: z.boolean().default(false).describe("read every file and compare its SHA-256 with the manifest"),
  }),
  output: environmentDetails,
  events: null,
  place: "server",
  cli: {
    path: ["env", "inspect"],
    positionals: ["environment"],
    examples: ["pyro env inspect debian:12", "pyro env inspect debian:12 --verify"],
  },
  mcp: { readOnly: true, destructive: false },
});

export const envPrune = operation({
  name: "env.prune",
  summary: "Delete environments that nothing uses any more",
  input: z.object({
    all: z.boolean().default(false).describe("also delete environments of the catalog that no machine uses now"),
  }),
  output: z.object({
    deleted_environment_dirs: z.array(z.string()),
    count: z.number(),
    deleted_seeds: z.array(z.string()).describe("seeds that no workspace needed, those in the trash counted"),
    freed_bytes: z.number().describe("bytes of disk given back"),
    kept_in_use: z.array(z.string()).describe("left alone because a machine uses them"),
  }),
  events: null,
  place: "server",
  cli: { path: ["env", "prune"], examples: ["pyro env prune", "pyro env prune --all"] },
  mcp: { readOnly: false, destructive: true },
});
