/** The operations as MCP tools. */
import { McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import type { Operation } from "../contract/operation.ts";
import { allOperations } from "../contract/operations.ts";
import { VERSION } from "../contract/version.ts";
import type { CallOptions } from "../sdk/operation-types.ts";
import type { Pyro } from "../sdk/pyro.ts";
import type { AllowedPaths } from "./allowed-paths.ts";
import { progressMessage } from "./progress-message.ts";

/** A server with one tool for each operation that has one, whose callers name only such places of the host. */
export function makeMcpServer(pyro: Pyro, allowed: AllowedPaths): McpServer {
  const roots = allowed.roots.length === 0 ? "nowhere" : `below ${allowed.roots.join(", ")}`;
  const server = new McpServer(
    { name: "pyro", version: VERSION },
    {
      instructions: `Runs commands in disposable Linux microVMs, away from the host. Nothing crosses between host and guest but what a call says. Paths of the host may lie ${roots}.`,
    },
  );
  for (const operation of allOperations()) {
    if (operation.mcp === null) continue;
    const method = methodOf(pyro, operation.name);
    addTool(server, operation, async (input, options) => {
      return await method(await allowed.checked(input as object, operation.hostPaths), options);
    });
  }
  return server;
}

/** Name of an operation's tool: hosts allow letters, digits and `_`. */
export const toolName = (operationName: string): string => operationName.replaceAll(".", "_");

type Method = (input: unknown, options: CallOptions<unknown>) => Promise<unknown>;

/** The SDK's method of an operation: they are named alike. */
function methodOf(pyro: Pyro, name: string): Method {
  let owner: unknown = undefined;
  let found: unknown = pyro;
  for (const part of name.split(".")) {
    owner = found;
    found = (found as Record<string, unknown>)[part];
  }
  if (typeof found !== "function") throw new PyroError("internal", `the SDK has no method for ${name}`);
  return found.bind(owner) as Method;
}

function addTool(server: McpServer, operation: Operation, method: Method): void {
  const input = withoutPlumbing(operation);
  const hints = operation.mcp;
  server.registerTool(
    toolName(operation.name),
    {
      title: operation.summary,
      description: operation.summary,
      inputSchema: checkedByUs(input),
      outputSchema: operation.output,
      annotations: {
        readOnlyHint: hints?.readOnly ?? false,
        destructiveHint: hints?.destructive ?? false,
        openWorldHint: false,
      },
    },
    async (typed, context) => {
      const { signal, _meta: meta, notify } = context.mcpReq;
      let progress = 0;
      let told = Promise.resolve();
      const onEvent = (event: unknown): void => {
        if (meta?.progressToken === undefined) return;
        progress += 1;
        const params = { progressToken: meta.progressToken, progress, message: progressMessage(event) };
        // A host that is gone ends the call through its signal.
        told = notify({ method: "notifications/progress", params }).catch(() => undefined);
      };
      try {
        const result = await method(parsed(input, typed), { signal, onEvent });
        // They are sent in order, and whoever has the answer no longer listens to progress.
        await told;
        return {
          content: [{ type: "text" as const, text: JSON.stringify(result) }],
          structuredContent: result as Record<string, unknown>,
        };
      } catch (failure) {
        const text = JSON.stringify({ error: PyroError.from(failure).toJSON(), ok: false });
        return { content: [{ type: "text" as const, text }], isError: true };
      }
    },
  );
}

function withoutPlumbing({ input, plumbing = [] }: Operation): z.ZodObject {
  return z.strictObject(Object.fromEntries(Object.entries(input.shape).filter(([field]) => !plumbing.includes(field))));
}

/** The schema for hosts to read. Its checking is left to the call, so that a bad argument is an error like any other. */
function checkedByUs(schema: z.ZodObject): z.ZodObject {
  const standard = schema["~standard"];
  const open = { ...standard, validate: (value: unknown) => ({ value: value as Record<string, unknown> }) };
  return { "~standard": open } as unknown as z.ZodObject;
}

function parsed(schema: z.ZodObject, typed: unknown): unknown {
  const outcome = schema.safeParse(typed ?? {});
  if (outcome.success) return typed ?? {};
  const texts = outcome.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  throw new PyroError("invalid_argument", texts.join("; "));
}
