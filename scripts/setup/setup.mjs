/** Everything that must be there before a build or a test: system packages, Rust, node_modules. Quick the second time. */
import { Refusal } from "../terminal.mjs";
import { packageManifest } from "../project.mjs";
import { installNodeModules } from "./node-modules.mjs";
import { installSystemPackages } from "./packages.mjs";
import { isAtLeast } from "./requirements.mjs";
import { prepareRust } from "./rust.mjs";

/** `purposes`: "build" (the programs), "run" and "pull" (guests), "workspace" (their volumes), "test" (the suite's own tools), "lint" (rustfmt, clippy). */
export async function setUp(purposes) {
  refuseOldNode();
  await installNodeModules();
  await installSystemPackages(purposes);
  if (purposes.includes("build")) await prepareRust({ lints: purposes.includes("lint") });
}

function refuseOldNode() {
  const minimum = packageManifest().engines.node.replace(">=", "");
  if (isAtLeast(process.versions.node, minimum)) return;
  throw new Refusal(`Node ${process.versions.node} is older than ${minimum}`, `install Node ${minimum} or newer`);
}
