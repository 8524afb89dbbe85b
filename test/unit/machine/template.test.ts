import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { PyroError } from "../../../src/contract/error.ts";
import { hostPaths, templatesDirectory } from "../../../src/host/paths.ts";
import {
  findTemplate,
  lastUsedTemplate,
  makeTemplate,
  markUsed,
  removePartialTemplates,
  type Template,
  type TemplateParts,
  templateKey,
} from "../../../src/machine/template.ts";
import type { TemplateFiles } from "../../../src/vmm/driver.ts";

const directory = await mkdtemp(join(tmpdir(), "pyro-template-"));
after(async () => await rm(directory, { recursive: true }));
const paths = hostPaths({ PYRO_CACHE_DIR: directory, HOME: directory });
const PARTS: TemplateParts = { rootfs: "a", kernel: "b", vcpus: 1, memory_mib: 256, vmm: "qemu 7.2" };
const KEY = templateKey(PARTS);

const saving =
  (content: string) =>
  async ({ memoryPath, statePath }: TemplateFiles): Promise<void> => {
    await writeFile(memoryPath, `memory ${content}`);
    await writeFile(statePath, `state ${content}`);
  };

const make = async (content = "one"): Promise<Template> => await makeTemplate(paths, PARTS, saving(content));

test("template: its key changes with every part, and with nothing else", () => {
  const others = Object.keys(PARTS).map((part) => templateKey({ ...PARTS, [part]: "other" }));
  assert.equal(new Set([KEY, ...others]).size, others.length + 1);
  assert.equal(templateKey({ ...PARTS }), KEY);
});

test("template: one that was made is found, and one that is made again is another one", async () => {
  const first = await make();
  assert.deepEqual(await findTemplate(paths, KEY), { template: first });
  const second = await make("two");
  assert.notEqual(second.id, first.id);
  assert.deepEqual(await findTemplate(paths, KEY), { template: second });
  assert.equal(await readFile(second.memoryPath, "utf8"), "memory two");
});

test("template: the one that was used last is known, if it is of the VMM that is asked about", async () => {
  const elsewhere = hostPaths({ PYRO_CACHE_DIR: join(directory, "used"), HOME: directory });
  assert.equal(await lastUsedTemplate(elsewhere), undefined);
  const made: Template[] = [];
  const longAgo = async ({ memoryPath }: Template): Promise<void> =>
    await utimes(join(dirname(memoryPath), "template.json"), 1, 1);
  for (const rootfs of ["first", "second"]) {
    made.push(await makeTemplate(elsewhere, { ...PARTS, rootfs }, saving(rootfs)));
  }
  for (const template of made) {
    await Promise.all(made.map(longAgo));
    await markUsed(template);
    const last = await lastUsedTemplate(elsewhere);
    assert.deepEqual([last?.files.memoryPath, last?.vmm], [template.memoryPath, PARTS["vmm"]]);
  }
});

/** What can happen to a template's files, and the word that names it. */
const DAMAGES: readonly { what: RegExp; damage: (files: TemplateFiles) => Promise<void> }[] = [
  { what: /memory.*gone/, damage: async ({ memoryPath }) => await rm(memoryPath) },
  { what: /memory.*changed/, damage: async ({ memoryPath }) => await truncate(memoryPath, 3) },
  { what: /memory.*changed/, damage: async ({ memoryPath }) => await utimes(memoryPath, 1, 1) },
  { what: /state.*gone/, damage: async ({ statePath }) => await rm(statePath) },
  { what: /state.*changed/, damage: async ({ statePath }) => await appendFile(statePath, "x") },
  { what: /record/, damage: async ({ statePath }) => await writeFile(join(dirname(statePath), "template.json"), "{") },
  { what: /record/, damage: async ({ statePath }) => await writeFile(join(dirname(statePath), "template.json"), "{}") },
];

test("template: each kind of damage is found and named", async () => {
  for (const { what, damage } of DAMAGES) {
    await damage(await make());
    const found = await findTemplate(paths, KEY);
    assert.match("missing" in found ? (found.missing ?? "") : "found", what);
  }
});

test("template: a save that fails leaves the old one and no trace of the new one", async () => {
  const old = await make();
  await assert.rejects(
    makeTemplate(paths, PARTS, async (files) => {
      await writeFile(files.memoryPath, "half");
      throw new PyroError("vmm_failed", "the VMM ended");
    }),
    { code: "vmm_failed" },
  );
  assert.deepEqual(await findTemplate(paths, KEY), { template: old });
  assert.deepEqual(await readdir(templatesDirectory(paths)), [KEY]);
});

test("template: a full disk is said as such, whoever met it", async () => {
  const noSpace = Object.assign(new Error("no space"), { code: "ENOSPC" });
  const failures = [
    noSpace,
    new PyroError("internal", "unexpected failure", { cause: noSpace }),
    new PyroError("vmm_failed", "the VMM ended by SIGBUS", { evidence: { exit: "SIGBUS" } }),
  ];
  for (const failure of failures) {
    await assert.rejects(
      makeTemplate(paths, PARTS, () => Promise.reject(failure)),
      { code: "resource_exhausted" },
    );
  }
});

test("template: what a crash in the middle left is removed, whole templates stay", async () => {
  const whole = await make();
  await mkdir(join(templatesDirectory(paths), ".partial-0123"));
  await writeFile(join(templatesDirectory(paths), ".partial-0123", "memory"), "x");
  await removePartialTemplates(paths);
  assert.deepEqual(await readdir(templatesDirectory(paths)), [KEY]);
  assert.deepEqual(await findTemplate(paths, KEY), { template: whole });
});

/**
 * Makes a template in a process that is killed at one of the steps that change files: before it, in a write also half-way.
 * A directory is removed entry by entry, the record last: the order in which a crash could leave most.
 */
const DYING = `
  import fs from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  import { join } from "node:path";
  const [module, cache, parts, lastStep] = JSON.parse(process.argv[1]);
  const real = { ...fs.promises };
  let left = lastStep;
  const step = () => left-- > 0 || process.kill(process.pid, "SIGKILL");
  for (const name of ["mkdir", "rename"])
    fs.promises[name] = (...words) => (step(), real[name](...words));
  fs.promises.writeFile = async (path, data, options) => {
    step();
    await real.writeFile(path, data.slice(0, data.length / 2), options);
    step();
    await real.writeFile(path, data, options);
  };
  fs.promises.rm = async (path) => {
    const entries = await real.readdir(path).catch(() => undefined);
    if (entries === undefined) return;
    for (const entry of entries.toSorted()) step(), await real.unlink(join(path, entry));
    step();
    await real.rmdir(path);
  };
  syncBuiltinESMExports();
  const { makeTemplate } = await import(module);
  await makeTemplate({ cache }, parts, async ({ memoryPath, statePath }) => {
    await fs.promises.writeFile(memoryPath, "memory new");
    await fs.promises.writeFile(statePath, "state new");
  });
`;
/** In one file: loading its imports one by one takes most of such a process's time. */
const TEMPLATE_MODULE = join(directory, "template.mjs");

/** Whether it was killed before it came to its end. */
function makeAndDie(step: number): boolean {
  const words = JSON.stringify([TEMPLATE_MODULE, paths.cache, PARTS, step]);
  const { signal, status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", DYING, words], {
    encoding: "utf8",
  });
  assert.ok(signal === "SIGKILL" || status === 0, stderr);
  return signal === "SIGKILL";
}

/** What a start would find: "old" or "new", when all its files are of that template, or "none". */
async function whatIsFound(): Promise<string> {
  const found = await findTemplate(paths, KEY);
  if ("missing" in found) return "none";
  const { memoryPath, statePath } = found.template;
  const files = [await readFile(memoryPath, "utf8"), await readFile(statePath, "utf8")].join();
  return { "memory old,state old": "old", "memory new,state new": "new" }[files] ?? `a broken one: ${files}`;
}

test("template: a crash at any step leaves the old one, the new one or none, and the next one is made", async () => {
  const entry = fileURLToPath(new URL("../../../src/machine/template.js", import.meta.url));
  buildSync({ entryPoints: [entry], outfile: TEMPLATE_MODULE, bundle: true, platform: "node", format: "esm" });
  const found: string[] = [];
  for (let step = 0; ; step += 1) {
    await make("old");
    const died = makeAndDie(step);
    found.push(await whatIsFound());
    if (!died) break;
  }
  // Never back to an earlier one; each of them was seen.
  const order = ["old", "none", "new"];
  assert.deepEqual([...new Set(found)], order, found.join());
  assert.deepEqual(
    found,
    found.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)),
  );
  assert.deepEqual(await readdir(templatesDirectory(paths)), [KEY]);
});
