/** The environments that come with pyro. */
import type { EnvironmentDefinition } from "./definition.ts";

const SMALL = { vcpu_count: 1, mem_mib: 1024 };
/** A language server or a test suite needs more than a shell does. */
const ROOMY = { vcpu_count: 2, mem_mib: 4096 };

const VERSION = "1.0.0";
const BASE = ["bash", "coreutils"];
/** Without certificates git reaches no server by https. */
const GIT = ["git", "ca-certificates"];
/** Debian's gcc only recommends the C library's headers, and nothing compiles without them. */
const BUILD_TOOLS = ["gcc", "g++", "libc6-dev", "make", "cmake", "pkg-config", "python3"];
const AGENT_TOOLS = [
  "curl",
  "jq",
  "less",
  "nodejs",
  "npm",
  "openssh-client",
  "patch",
  "procps",
  "python3-venv",
  "ripgrep",
  "sudo",
  "unzip",
  "xz-utils",
];

export const CATALOG: readonly EnvironmentDefinition[] = [
  {
    name: "debian:12",
    version: VERSION,
    description: "Debian 12 environment with Git preinstalled for common agent workflows.",
    suite: "bookworm",
    packages: GIT,
    defaultPackages: [...BASE, "git"],
    defaults: SMALL,
    origin: "builtin",
  },
  {
    name: "debian:12-agent",
    version: VERSION,
    description: "Debian 12 environment with what a coding agent reaches for: Git, Python, Node.js, build tools.",
    suite: "bookworm",
    packages: [...GIT, ...BUILD_TOOLS, ...AGENT_TOOLS],
    defaultPackages: [...BASE, "git", "gcc", "make", "cmake", "python3", ...AGENT_TOOLS],
    defaults: ROOMY,
    origin: "builtin",
  },
  {
    name: "debian:12-base",
    version: VERSION,
    description: "Minimal Debian 12 environment for shell and core Unix tooling.",
    suite: "bookworm",
    packages: [],
    defaultPackages: BASE,
    defaults: SMALL,
    origin: "builtin",
  },
  {
    name: "debian:12-build",
    version: VERSION,
    description: "Debian 12 environment with Git and common build tools preinstalled.",
    suite: "bookworm",
    packages: [...GIT, ...BUILD_TOOLS],
    defaultPackages: [...BASE, "git", "gcc", "make", "cmake", "python3"],
    defaults: SMALL,
    origin: "builtin",
  },
];
