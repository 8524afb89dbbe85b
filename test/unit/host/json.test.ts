import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseJson, readJson } from "../../../src/host/json.ts";

test("json: what is none, is cut, is not there or is a directory says nothing", async () => {
  for (const text of ["", "{", '{"a":1', "no json", "\u0000"]) assert.equal(parseJson(text), undefined);
  assert.deepEqual(parseJson('{"a":[null]}'), { a: [null] });
  const directory = await mkdtemp(join(tmpdir(), "pyro-json-"));
  try {
    const path = join(directory, "file.json");
    assert.equal(await readJson(path), undefined);
    assert.equal(await readJson(directory), undefined);
    await writeFile(path, '{"a":1');
    assert.equal(await readJson(path), undefined);
    await writeFile(path, '{"a":1}\n');
    assert.deepEqual(await readJson(path), { a: 1 });
  } finally {
    await rm(directory, { recursive: true });
  }
});
