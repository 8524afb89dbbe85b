/**
 * An environment that is installed anew under workspaces that have started from it. Both of its roots are built-in ones, installed
 * under a name of the user's: what is tested is which of them a guest finds, not how they are built.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { customEnvironmentsPath, parseCustomEnvironments } from "../../src/environment/custom.ts";
import { buildEnvironment } from "../../src/environment/install.ts";
import { installDirectory, readInstalled } from "../../src/environment/store.ts";
import { installPlaces } from "../../src/host/paths.ts";
import { client, paths } from "../support/guest-host.ts";
import { CaseWorkspace } from "../support/case-workspace.ts";

const ENVIRONMENT = "rebuilt:test";
const TEXT = `[environments."${ENVIRONMENT}"]\n`;
const [definition = assert.fail()] = parseCustomEnvironments(TEXT, "environments.toml");
const directory = installDirectory(definition, paths);

const pyro = client();
mkdirSync(paths.config, { recursive: true });
writeFileSync(customEnvironmentsPath(paths), TEXT);
after(() => rmSync(customEnvironmentsPath(paths)));

/** Installs it with the root of a built-in one; where that root lies when another one is installed. */
async function buildFrom(name: string): Promise<string> {
  await pyro.env.pull({ environment: name });
  const { rootfs, kernel, manifest } = await readInstalled(name, paths);
  await buildEnvironment({
    definition,
    directory,
    paths,
    source: {
      label: name,
      produce: async ({ directory: into }) => {
        const path = join(into, "rootfs.squashfs");
        await copyFile(rootfs.path, path);
        return { rootfs: { ...rootfs, path }, kernel, packages: manifest.packages };
      },
      removeAbandoned: async () => await Promise.resolve([]),
    },
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  const [, kept] = installPlaces({ installDir: directory, digest: rootfs.sha256 });
  return kept ?? assert.fail();
}

async function create(): Promise<CaseWorkspace> {
  const { workspace_id: id } = await pyro.workspace.create({ environment: ENVIRONMENT, mem_mib: 512 });
  return new CaseWorkspace(pyro, id, "");
}

/** Which root it runs on, and what it has changed of it. */
const LOOK = "command -v git || echo none; cat /etc/mark 2> /dev/null || echo as in the image";

test("rebuilt environment: workspaces stay on the root that they have started from, and new ones begin on the new one", async () => {
  const kept = await buildFrom("debian:12");
  const old = await create();
  await old.sh("echo mine > /etc/mark");
  await pyro.workspace.stop({ workspace: old.id });
  await buildFrom("debian:12-base");
  const young = await create();
  assert.equal(await young.sh(LOOK), "none\nas in the image\n");
  await pyro.workspace.start({ workspace: old.id });
  assert.equal(await old.sh(LOOK), "/usr/bin/git\nmine\n");
  const { kept_in_use: inUse } = await pyro.env.prune();
  assert.deepEqual(inUse, [kept]);
  await pyro.workspace.reset({ workspace: old.id });
  assert.equal(await old.sh(LOOK), "/usr/bin/git\nas in the image\n");
  // In the trash it needs its root too.
  await pyro.workspace.delete({ workspace: old.id, force: true });
  await pyro.env.prune();
  await pyro.workspace.restore({ workspace: old.id });
  await pyro.workspace.start({ workspace: old.id });
  assert.equal(await old.sh(LOOK), "/usr/bin/git\nas in the image\n");
  await pyro.workspace.delete({ workspace: old.id, force: true, purge: true });
  await pyro.env.prune();
  assert.equal(existsSync(kept), false);
  assert.equal(await young.sh(LOOK), "none\nas in the image\n");
  await pyro.workspace.delete({ workspace: young.id, force: true, purge: true });
});
