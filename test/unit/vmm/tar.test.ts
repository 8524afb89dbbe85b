import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { readTarFiles } from "../../../src/vmm/firecracker/tar.ts";
import { tar, type TarEntry } from "../../support/release-archive.ts";

const LIMITS = { entryBytesMax: 4096, totalBytesMax: 100_000 };

const read = async (archive: Buffer, names: string[], piece = archive.length): Promise<Map<string, Buffer>> => {
  const pieces = Array.from({ length: Math.ceil(archive.length / piece) }, (_, index) =>
    archive.subarray(index * piece, (index + 1) * piece),
  );
  return await readTarFiles(Readable.from(pieces), names, LIMITS);
};

const corrupt = (words: RegExp) => (failure: unknown) =>
  PyroError.is(failure) && failure.code === "artifact_corrupt" && words.test(failure.message);

const entry = (name: string, text: string): TarEntry => ({ name, content: Buffer.from(text) });

describe("reading a tar", () => {
  it("gives the wanted files and passes over the others, whatever pieces it comes in", async () => {
    const archive = tar([entry("a/x", "other"), entry("a/one", "1".repeat(600)), entry("a/two", ""), entry("z", "z")]);
    for (const piece of [1, 7, 511, 512, 513, archive.length]) {
      const files = await read(archive, ["a/one", "a/two"], piece);
      assert.deepEqual([...files.keys()], ["a/one", "a/two"]);
      assert.equal(files.get("a/one")?.toString(), "1".repeat(600));
    }
  });

  it("reads what GNU tar writes, long names in a prefix too", async () => {
    const directory = mkdtempSync(join(tmpdir(), "pyro-tar-"));
    try {
      const deep = ["d".repeat(60), "e".repeat(60)].join("/");
      mkdirSync(join(directory, deep), { recursive: true });
      writeFileSync(join(directory, deep, "file"), "content");
      const archive = execFileSync("tar", ["--format=ustar", "-C", directory, "-cf", "-", "."]);
      assert.equal((await read(archive, [`${deep}/file`])).get(`${deep}/file`)?.toString(), "content");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("known bad: links, doubles, large ones, missing ones and cut ones are refused", async () => {
    const one = entry("one", "content");
    for (const type of ["1", "2", "3", "5", "6"]) {
      await assert.rejects(read(tar([{ name: "one", type }]), ["one"]), corrupt(/no regular file/));
    }
    await assert.rejects(read(tar([one, one]), ["one"]), corrupt(/twice/));
    await assert.rejects(read(tar([entry("one", "1".repeat(5000))]), ["one"]), corrupt(/more than 4096/));
    await assert.rejects(read(tar([one]), ["two"]), corrupt(/has no two/));
    await assert.rejects(read(tar([{ ...one, size: 4000 }]), ["one"]), corrupt(/truncated/));
    await assert.rejects(read(tar([entry("big", "1".repeat(200_000)), one]), ["one"]), corrupt(/more than 100000/));
    await assert.rejects(read(tar([one]).subarray(0, 700), ["one"]), corrupt(/truncated/));
    await assert.rejects(read(Buffer.from("not a tar at all".repeat(64)), ["one"]), corrupt(/no tar archive/));
  });

  it("ends on any bytes, with files or with a refusal of its own", async () => {
    const whole = tar([entry("one", "content"), entry("two", "more")]);
    const damage = fc.tuple(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length));
    await fc.assert(
      fc.asyncProperty(damage, async ([at, byte, length]) => {
        const bytes = Buffer.from(whole.subarray(0, length));
        if (at < bytes.length) bytes[at] = byte;
        await read(bytes, ["one"], 100).catch((failure: unknown) => assert.ok(corrupt(/./)(failure), String(failure)));
      }),
    );
  });
});
