/** The part of the table for workspaces: each case has one of its own (`inWorkspace`). A new part of it is a file and a line here. */
import type { WorkspaceCase } from "./case-workspace.ts";
import { DIFF_CASES } from "./diff-cases.ts";
import { FILE_CASES } from "./file-cases.ts";
import { PATCH_CASES } from "./patch-cases.ts";
import { WORKSPACE_CASES } from "./workspace-cases.ts";

export const WORKSPACE_TABLE: readonly WorkspaceCase[] = [
  ...WORKSPACE_CASES,
  ...FILE_CASES,
  ...DIFF_CASES,
  ...PATCH_CASES,
];
