/** Operations on the host itself: can it run a guest, and how is the server. */
import * as z from "zod";
import { operation } from "./operation.ts";
import { confinement, executionMode, isolation, MACHINE_NAMES } from "./run.ts";

export const doctorCheck = z.object({
  id: z.string().describe("stable name of the check"),
  ok: z.boolean(),
  required: z.boolean().describe("whether no guest can run while it is not ok"),
  detail: z.string().describe("what was found"),
  fix: z.string().nullable().describe("the exact command that mends it, or null"),
});

export const doctor = operation({
  name: "doctor",
  summary: "Say whether this host can run a guest, how, and what is missing",
  input: z.object({}),
  output: z.object({
    platform: z.string(),
    runtime_ok: z.boolean(),
    issues: z.array(z.string()),
    fix_command: z.string().nullable().describe("one command line that installs all that is missing"),
    fix_download: z
      .object({
        program: z.literal("firecracker"),
        version: z.string(),
        url: z.string(),
        sha256: z.string().describe("of the archive"),
        directory: z.string().describe("where it is installed"),
      })
      .nullable()
      .describe("what pyro doctor --fix downloads and installs after that, or null"),
    kvm: z.object({
      exists: z.boolean(),
      readable: z.boolean(),
      writable: z.boolean(),
      usable: z.boolean().describe("whether a vCPU really ran"),
      reason: z.string(),
    }),
    machine: z
      .object({
        name: z.enum(MACHINE_NAMES).describe("as --machine and PYRO_MACHINE take it"),
        vmm: z.string(),
        vmm_version: z.string(),
        accelerator: z.enum(["kvm", "tcg"]),
        isolation,
        confinement,
        confinement_reason: z.string().nullable().describe("what this host does not allow, or null"),
        execution_mode: executionMode,
        reason: z.string().describe("why this one, and why none of the better ones"),
      })
      .nullable(),
    firecracker: z
      .object({
        path: z.string(),
        version: z.string(),
        source: z
          .enum(["PYRO_FIRECRACKER", "installed", "PATH"])
          .describe("what names it; installed: pyro doctor --fix did"),
      })
      .nullable()
      .describe("null: there is none that pyro would use; its check says why"),
    kernel: z.object({ source: z.string().describe("environment, or the path given by PYRO_KERNEL"), ok: z.boolean() }),
    capabilities: z.object({ vm_boot: z.boolean(), guest_exec: z.boolean(), guest_network: z.boolean() }),
    networking: z.object({ tun: z.boolean(), ip_forward: z.boolean() }),
    cache_dir: z.string().describe("where environments are installed"),
    state_dir: z.string(),
    runtime_dir: z.string(),
    checks: z.array(doctorCheck),
  }),
  events: null,
  place: "caller",
  cli: { path: ["doctor"], examples: ["pyro doctor", "pyro doctor --json", "pyro doctor --fix"] },
  mcp: { readOnly: true, destructive: false },
});

export const serverStatus = operation({
  name: "server.status",
  summary: "Show the background server, without starting it",
  input: z.object({}),
  output: z.object({
    running: z.boolean(),
    version: z.string().nullable().describe("with its build after a plus sign"),
    pid: z.number().nullable(),
    started_at: z.string().nullable().describe("RFC 3339 time"),
    socket: z.string(),
    log: z.string(),
    machines: z.number().describe("machines that callers hold"),
    ready_machines: z.number().describe("machines kept ready for the next call"),
  }),
  events: null,
  place: "server",
  cli: { path: ["server", "status"], examples: ["pyro server status"] },
  mcp: { readOnly: true, destructive: false },
});

export const serverStop = operation({
  name: "server.stop",
  summary: "Stop the background server",
  input: z.object({
    force: z
      .boolean()
      .default(false)
      .describe("also when callers hold machines, which are ended, and workspaces are started, which are stopped"),
    keep_workspaces: z
      .boolean()
      .default(false)
      .describe(
        "leave the machines of workspaces running, with what runs in them detached: the next server takes them over",
      ),
  }),
  output: z.object({
    stopped: z
      .boolean()
      .describe("false: none was running, and no machine either; machines without a server get one, which is stopped"),
    pid: z.number().nullable(),
  }),
  events: null,
  place: "server",
  cli: {
    path: ["server", "stop"],
    examples: ["pyro server stop", "pyro server stop --force", "pyro server stop --keep-workspaces"],
  },
  mcp: null,
});

export type DoctorReport = z.infer<typeof doctor.output>;
export type DoctorCheck = z.infer<typeof doctorCheck>;
export type ServerStatus = z.infer<typeof serverStatus.output>;
