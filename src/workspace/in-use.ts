/** What workspaces have in common with others and need, by their records. */
import { installPlaces } from "../host/paths.ts";
import type { WorkspaceRecord } from "./record.ts";

/** Install directories of their environments, and where those may be moved to. */
export function environmentsOf(records: readonly WorkspaceRecord[]): Set<string> {
  return new Set(
    records.flatMap(({ install_dir: installDir, environment_digest: digest }) =>
      digest === null ? [installDir] : [installDir, ...installPlaces({ installDir, digest })],
    ),
  );
}

/** Ids of their seeds. */
export function seedsOf(records: readonly WorkspaceRecord[]): Set<string> {
  return new Set(records.map(({ seed }) => seed?.id ?? undefined).filter((id) => id !== undefined));
}
