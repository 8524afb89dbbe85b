/** The Rust toolchain that builds the guest agent and the launcher: found, or offered through rustup. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline/promises";
import { capture, findProgram, runChecked } from "../command.mjs";
import { inProject } from "../project.mjs";
import { interactive, Refusal, say } from "../terminal.mjs";
import { isAtLeast, versionIn } from "./requirements.mjs";

const COMPONENTS = ["rustfmt", "clippy"];
const FIRST_INSTALL = `curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c ${COMPONENTS.join(" -c ")}`;
const UPGRADE = `rustup toolchain install stable --profile minimal -c ${COMPONENTS.join(" -c ")} && rustup default stable`;

/** Makes sure that `cargo` is there and recent enough; with `lints`, rustfmt and clippy too. */
export async function prepareRust({ lints = false } = {}) {
  // rustup puts its programs here and tells only new login shells.
  process.env.PATH = [process.env.PATH, join(homedir(), ".cargo", "bin")].join(delimiter);
  if (unmet(lints) !== undefined) await offerToolchain(unmet(lints));
  const still = unmet(lints);
  if (still !== undefined) throw new Refusal(still);
}

/** Why the toolchain at hand will not do, or undefined when it will. */
function unmet(lints) {
  const minimum = minimumRust();
  if (findProgram("cargo") === undefined) return "cargo is not installed";
  const found = versionIn(capture("rustc", ["--version"]) ?? "");
  if (found === undefined) return "rustc does not run";
  if (!isAtLeast(found, minimum)) return `rustc ${found} is older than ${minimum}`;
  if (!lints) return undefined;
  const missing = COMPONENTS.filter(
    (name) => capture(name === "clippy" ? "cargo-clippy" : name, ["--version"]) === undefined,
  );
  return missing.length === 0 ? undefined : `${missing.join(" and ")} not installed`;
}

/** The oldest Rust that builds the agent, as Cargo.toml states it. */
function minimumRust() {
  const stated = /^rust-version\s*=\s*"([\d.]+)"/m.exec(readFileSync(inProject("Cargo.toml"), "utf8"));
  if (stated === null) throw new Refusal("Cargo.toml states no rust-version");
  return stated[1];
}

async function offerToolchain(reason) {
  const command = findProgram("rustup") === undefined ? FIRST_INSTALL : UPGRADE;
  say("setup", `needs a Rust toolchain: builds the guest agent and the launcher (${reason})`);
  if (!interactive()) throw new Refusal(reason, command);
  const question = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await question.question(`[setup] run this now?\n  ${command}\n[y/N] `);
  question.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new Refusal(reason, command);
  await runChecked("sh", ["-c", command], { stdin: "inherit" });
}
