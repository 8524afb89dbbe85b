import type * as z from "zod";
import { PyroError } from "../../contract/error.ts";
import type { workspaceCreate } from "../../contract/workspace-operations.ts";
import type { WorkspaceSummary } from "../../contract/workspace.ts";
import type { ServerContext } from "../context.ts";
import { displayed, environmentOf, GIT_TRUST } from "../command-line.ts";
import { claimStreams, execute } from "../execution.ts";
import type { Handlers } from "../handler.ts";
import { startCall } from "../opening.ts";
import { pullCommits } from "../../workspace/pull/pull.ts";
import type { SeedProgress } from "../../workspace/seeds/seed-making.ts";
import type { NewWorkspace } from "../../workspace/new-workspace.ts";
import { deletedSummary, resetSummary, statusOf, summaryOf } from "../workspace-summary.ts";

/** Linux SIGKILL. */
const SIGKILL = 9;

export function workspaceHandlers(
  context: ServerContext,
): Omit<Handlers["workspace"], "command" | "diff" | "snapshot" | "sync" | "export" | "file" | "patch"> {
  const { workspaces } = context;
  return {
    create: async (input, call) => {
      const onSeed = (progress: SeedProgress): void => call.emit({ type: "seed", ...progress });
      return await summaryOf(
        await workspaces.create(wantedOf(input), { ...startCall(input.environment, call), onSeed }),
      );
    },
    list: async ({ label, deleted }) => {
      const wanted = Object.entries(labelsOf(label));
      const all: WorkspaceSummary[] = deleted
        ? (await workspaces.listDeleted()).map(deletedSummary)
        : await Promise.all(workspaces.list().map(summaryOf));
      const found = all.filter(({ labels }) => wanted.every(([key, value]) => labels[key] === value));
      return { count: found.length, workspaces: found, unreadable: workspaces.unreadable };
    },
    status: async ({ workspace }) => await statusOf(workspaces.find(workspace)),
    update: async ({ workspace, name, remove_name, label, remove_label, ttl_seconds, volume_gib: gib }) => {
      const found = workspaces.find(workspace);
      const removed = Object.fromEntries(remove_label.map((key) => [key, null]));
      await workspaces.update(found, {
        ...(name === undefined && !remove_name ? {} : { name: name ?? null }),
        labels: { ...removed, ...labelsOf(label) },
        ttlSeconds: ttl_seconds,
        volumeBytes: gib === undefined ? undefined : gib * 1024 ** 3,
      });
      return await summaryOf(found);
    },
    start: async ({ workspace }, call) => {
      const found = workspaces.find(workspace);
      await workspaces.start(found, startCall(found.record.environment, call));
      return await summaryOf(found);
    },
    stop: async ({ workspace }) => {
      const found = workspaces.find(workspace);
      await found.stop("asked", "it was stopped");
      return await summaryOf(found);
    },
    flatten: async ({ workspace }) => {
      const found = workspaces.find(workspace);
      await workspaces.flatten(found);
      return await summaryOf(found);
    },
    delete: async ({ workspace, force, purge }) => {
      const id = await workspaces.delete(workspace, { force, purge });
      return { workspace_id: id, deleted: true, purged: purge };
    },
    restore: async ({ workspace }) => await summaryOf(await workspaces.restore(workspace)),
    exec: execHandler(context),
    pull: pullHandler(context),
    logs: async ({ workspace }) => {
      const found = workspaces.find(workspace);
      const entries = await found.commands.logged();
      return { workspace_id: found.record.id, count: entries.length, entries };
    },
    reset: async ({ workspace, snapshot }, call) => {
      const found = workspaces.find(workspace);
      const source = await found.reset(snapshot, startCall(found.record.environment, call));
      return { ...(await summaryOf(found)), workspace_reset: resetSummary(source) };
    },
  };
}

function wantedOf(input: z.output<typeof workspaceCreate.input>): NewWorkspace {
  return {
    environment: input.environment,
    name: input.name,
    labels: labelsOf(input.label),
    ttlSeconds: input.ttl_seconds,
    directory: input.directory,
    vcpuCount: input.vcpu_count,
    memoryMib: input.mem_mib,
    machine: input.machine,
    requireIsolation: input.require_isolation,
    seedPath: input.seed_path,
    seedIgnore: input.seed_ignore,
  };
}

function execHandler(context: ServerContext): Handlers["workspace"]["exec"] {
  return async ({ workspace: reference, ...input }, { signal }) => {
    const workspace = context.workspaces.find(reference);
    const streams = await claimStreams(context, input);
    try {
      const { machine, sequence } = await workspace.commands.next(displayed(input.command), signal);
      const trusting = { ...input, env: [...GIT_TRUST, ...input.env] };
      const { exec, result } = execute(trusting, { context, machine, streams, signal });
      try {
        return { ...(await result), workspace_id: workspace.record.id, sequence, cwd: input.cwd ?? "/workspace" };
      } finally {
        // The machine stays, the command of a caller that went away does not.
        if (signal.aborted) await exec.signal(SIGKILL);
      }
    } finally {
      streams?.finish();
    }
  };
}

function pullHandler({ workspaces }: ServerContext): Handlers["workspace"]["pull"] {
  return async ({ workspace: reference, repository, branch, message, path, force }, { signal }) => {
    // The SDK says which is meant where the caller does not.
    if (repository?.startsWith("/") !== true) {
      throw new PyroError("invalid_argument", "repository: expected an absolute path");
    }
    const workspace = workspaces.find(reference);
    const env = environmentOf(GIT_TRUST);
    const { scratch } = await workspaces.copying();
    const request = { repository, branch, message, path, force, env, signal, scratch };
    // No command of the user's: it has no number, and is not logged.
    const pulled = await workspace.beside(async (machine) => await pullCommits({ ...request, machine }), signal);
    const { commit, before, change, made: made_commit, newCommits: new_commits } = pulled;
    const workspace_id = workspace.record.id;
    return { workspace_id, repository, branch, commit, before, change, new_commits, made_commit };
  };
}

/** The last VALUE of each KEY=VALUE. */
function labelsOf(labels: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    labels.map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)]),
  );
}
