/** Starting a command by the guest link alone, as src/machine/exec.ts does, but under an id that the test knows. */
import type { AgentClient } from "../../src/guest/link.ts";

const encoder = new TextEncoder();

export interface GuestCommand {
  readonly stdin?: boolean;
  readonly cwd?: string;
}

/** Starts a shell script. */
export async function startScript(
  agent: AgentClient,
  execId: string,
  script: string,
  { stdin = false, cwd = "/" }: GuestCommand = {},
): Promise<void> {
  await agent.start({
    execId,
    argv: ["/bin/sh", "-c", script].map((word) => encoder.encode(word)),
    environment: [{ name: encoder.encode("PATH"), value: encoder.encode("/usr/bin:/bin") }],
    workingDirectory: encoder.encode(cwd),
    user: "",
    timeLimitMs: 60_000n,
    stdin,
    unixTimeNs: BigInt(Date.now()) * 1_000_000n,
  });
}
