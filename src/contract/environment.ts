/** Shapes of environments, as every front end shows them. */
import * as z from "zod";

export const environmentDefaults = z.object({
  vcpu_count: z.int().describe("vCPUs of a machine unless asked otherwise"),
  mem_mib: z.int().describe("memory of a machine in MiB unless asked otherwise"),
});

export const environmentSummary = z.object({
  name: z.string().describe("name to give to other commands, for example debian:12"),
  version: z.string().describe("version of the recipe"),
  description: z.string(),
  distribution: z.string().describe("for example debian"),
  distribution_version: z.string().describe("for example 12"),
  platform: z.string().describe("for example linux-x86_64"),
  default_packages: z.array(z.string()).describe("packages that are there beyond the minimal system"),
  defaults: environmentDefaults,
  origin: z.enum(["builtin", "user"]).describe("built in, or from the user's environments.toml"),
  source: z.string().describe("where its files come from, without any mirror's address"),
  installed: z.boolean(),
  cache_dir: z.string(),
  install_dir: z.string(),
});

export const environmentDetails = environmentSummary.extend({
  install_manifest: z.string().nullable().describe("path of environment.json, null when not installed"),
  kernel_image: z.string().nullable(),
  kernel_version: z.string().nullable(),
  rootfs_image: z.string().nullable(),
  rootfs_format: z.string().nullable(),
  rootfs_bytes: z.number().nullable(),
  digest: z.string().nullable().describe("sha256 of the root file system image"),
  installed_at: z.string().nullable().describe("RFC 3339 time"),
});

export type EnvironmentDefaults = z.infer<typeof environmentDefaults>;
export type EnvironmentSummary = z.infer<typeof environmentSummary>;
export type EnvironmentDetails = z.infer<typeof environmentDetails>;

/** One step of a pull. `percent` is absent while it cannot be known. */
export const pullProgress = z.object({
  phase: z.enum(["install", "packages", "image", "kernel", "verify", "template", "ready"]),
  environment: z.string(),
  bytes: z.number().optional().describe("bytes moved in this phase so far"),
  percent: z.number().optional().describe("0 to 100, of this phase"),
  detail: z.string().optional(),
});
export type PullProgress = z.infer<typeof pullProgress>;
