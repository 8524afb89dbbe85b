/** Bringing what was done in a workspace's git repository into one on the host, as a branch. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Scope } from "../../host/scope.ts";
import type { OpenMachine } from "../../machine/machine.ts";
import { forgetCommit, type GuestCommit, type GuestRepository, prepareCommit, writeBundle } from "./guest-commits.ts";
import { type BranchUpdate, HostRepository } from "./host-repository.ts";

export interface PullRequest {
  readonly machine: Pick<OpenMachine, "exec">;
  /** Of the repository in the guest. */
  readonly path: string;
  /** Variables of the guest's git. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path on the host, in the repository that gets the commits. */
  readonly repository: string;
  readonly branch: string;
  /** Whether the branch may lose commits. */
  readonly force: boolean;
  /** Of the commit that is made of what is not committed. */
  readonly message: string;
  /** Where the bundle lies for a while. */
  readonly scratch: string;
  readonly signal: AbortSignal;
}

export interface Pulled extends GuestCommit, BranchUpdate {}

/** @throws PyroError as the two repositories do; the host's is then as it was */
export async function pullCommits(request: PullRequest): Promise<Pulled> {
  const { branch, force, signal, scratch } = request;
  // What the host would refuse is not asked of the guest.
  const host = await HostRepository.open(request.repository, branch, signal);
  const { machine, path, env } = request;
  const guest: GuestRepository = { machine, path, env, hostCommits: await host.knownCommits(), signal };
  await using scope = new Scope();
  scope.defer(async () => await forgetCommit({ ...guest, signal: new AbortController().signal }));
  const found = await prepareCommit(guest, request.message);
  // Git makes no bundle of nothing.
  if (found.newCommits === 0) return { ...found, ...(await host.move(found.commit, { force })) };
  const bundle = join(scratch, `pull-${randomBytes(6).toString("hex")}.bundle`);
  scope.defer(async () => await rm(bundle, { force: true }));
  await writeBundle(guest, bundle);
  return { ...found, ...(await host.take(bundle, found.commit, { force })) };
}
