import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { hostPaths, templatesDirectory } from "../../../src/host/paths.ts";
import {
  findTemplate,
  makeTemplate,
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
