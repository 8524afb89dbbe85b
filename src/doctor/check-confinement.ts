/** How far VMMs can be confined here: what the launcher could do when it was tried. */
import type { Confinement } from "../vmm/confinement.ts";
import { namespaceRemedy } from "./check-namespaces.ts";
import { fault, type Finding, good } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";

const ID = "confinement";

/** Never required: a guest runs either way, and every result says how. */
export async function checkConfinement(facts: HostFacts, { level, reason }: Confinement): Promise<Finding> {
  if (level === "full") {
    const user = facts.uid === 0 ? "a user, " : "";
    return good(ID, `each VMM has ${user}namespaces and a root of its own`, { required: false });
  }
  const detail = `VMMs run without namespaces and a root of their own: ${reason ?? "for no reason that was said"}`;
  if (facts.uid === 0) {
    const advice = "root lacks a right here, as in most containers: start pyro outside, or as a plain user";
    return fault(ID, `${detail}; ${advice}`, { required: false });
  }
  return fault(ID, detail, { required: false, fix: await namespaceRemedy(facts) });
}
