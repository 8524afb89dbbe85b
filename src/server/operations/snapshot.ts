import type { ServerContext } from "../context.ts";
import type { Handlers } from "../handler.ts";
import { snapshotSummaryOf } from "../workspace-summary.ts";

export function snapshotHandlers({ workspaces }: ServerContext): Handlers["workspace"]["snapshot"] {
  return {
    create: async ({ workspace, snapshot }) => {
      const found = workspaces.find(workspace);
      const made = await found.snapshots.create(snapshot);
      return { workspace_id: found.record.id, snapshot: snapshotSummaryOf(found.record.id, made) };
    },
    list: async ({ workspace }) => {
      const { record } = workspaces.find(workspace);
      const snapshots = workspaces
        .find(workspace)
        .snapshots.list()
        .map((each) => snapshotSummaryOf(record.id, each));
      return await Promise.resolve({ workspace_id: record.id, count: snapshots.length, snapshots });
    },
    delete: async ({ workspace, snapshot }) => {
      const found = workspaces.find(workspace);
      await found.snapshots.delete(snapshot);
      return { workspace_id: found.record.id, snapshot_name: snapshot, deleted: true };
    },
  };
}
