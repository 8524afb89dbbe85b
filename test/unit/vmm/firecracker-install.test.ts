/** The download and installation of Firecracker, from a real server on this host. */
import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { type ErrorCode, PyroError } from "../../../src/contract/error.ts";
import type { HostPaths } from "../../../src/host/paths.ts";
import { findFirecracker, installedProgram } from "../../../src/vmm/firecracker/binary.ts";
import { download } from "../../../src/vmm/firecracker/download.ts";
import { installFirecracker, releaseUrl } from "../../../src/vmm/firecracker/install.ts";
import { archiveEntry, FIRECRACKER_RELEASE } from "../../../src/vmm/firecracker/release.ts";
import { releaseOf, sha256 } from "../../support/release-archive.ts";

const PROGRAM = Buffer.from("#!/bin/sh\necho fc\n");
const { release, archive } = releaseOf(PROGRAM);
const LIMITS = { bytesMax: 100_000, deadlineMs: 20_000, stallMs: 20_000 };
const IN_MIRROR = "/v1.12.1/firecracker-v1.12.1-x86_64.tgz";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let base = "";
let server: Server;
let answer: Answer;
let requests: string[] = [];
let mirror = "";
let paths: HostPaths;

before(async () => {
  base = mkdtempSync(join(tmpdir(), "pyro-install-"));
  server = createServer((request, response) => {
    requests.push(request.url ?? "");
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(base, { recursive: true });
});
let places = 0;
beforeEach(() => {
  const place = join(base, String((places += 1)));
  paths = { cache: join(place, "cache"), state: place, runtime: place, config: place };
  requests = [];
  answer = (_, response) => void response.end(archive);
});

const install = async (more: Partial<Parameters<typeof installFirecracker>[0]> = {}) =>
  await installFirecracker({ paths, mirror, release, limits: LIMITS, ...more });

const refusal = (code: ErrorCode, words: RegExp) => (failure: unknown) =>
  PyroError.is(failure) && failure.code === code && words.test(failure.message);

const nothingIsLeft = (): void => {
  const directory = join(paths.cache, "firecracker");
  assert.deepEqual(existsSync(directory) ? readdirSync(directory) : [], []);
};

describe("installing Firecracker", () => {
  it("fetches, checks, and puts Firecracker and nothing else in place, readable by a VMM of another user", async () => {
    const program = await install();
    assert.deepEqual(requests, [IN_MIRROR]);
    assert.equal(program.path, join(paths.cache, "firecracker", "v1.12.1", "firecracker"));
    assert.deepEqual([program.version, program.source], ["1.12.1", "installed"]);
    assert.deepEqual(readFileSync(program.path), PROGRAM);
    assert.deepEqual(readdirSync(join(program.path, "..")), ["firecracker"]);
    for (const path of [program.path, join(program.path, "..")]) {
      assert.equal(statSync(path).mode & 0o777, 0o755, path);
    }
    assert.equal(statSync(join(paths.cache, "firecracker")).mode & 0o777, 0o700);
    assert.equal((await findFirecracker({ paths, env: { PATH: "" }, release })).path, program.path);
  });

  it("leaves a whole one alone, and replaces an altered one", async () => {
    const { path } = await install();
    await install();
    assert.equal(requests.length, 1);
    writeFileSync(path, "#!/bin/sh\necho altered\n");
    await assert.rejects(
      installedProgram(paths, release),
      refusal("artifact_corrupt", /not the Firecracker that pyro/),
    );
    await install();
    assert.deepEqual(readFileSync(path), PROGRAM);
    assert.deepEqual(readdirSync(join(paths.cache, "firecracker")), ["v1.12.1"]);
  });

  it("is done once by many who install at the same time", async () => {
    const programs = await Promise.all(Array.from({ length: 8 }, async () => await install()));
    assert.equal(new Set(programs.map(({ path }) => path)).size, 1);
    assert.deepEqual(readdirSync(join(paths.cache, "firecracker")), ["v1.12.1"]);
  });

  it("removes what a killed installer left, and nothing of one at work", async () => {
    const [old, young] = ["old", "young"].map((name) => join(paths.cache, "firecracker", `.partial-${name}`));
    for (const path of [old!, young!]) mkdirSync(path, { recursive: true });
    utimesSync(old!, 1, 1);
    await install();
    assert.deepEqual([existsSync(old!), existsSync(young!)], [false, true]);
  });

  it("takes one file out of the archive, whatever else is in it", async () => {
    const strange = [
      { name: "../escaped", content: Buffer.from("x") },
      { name: "/tmp/absolute", content: Buffer.from("x") },
      { name: `${archiveEntry(release)}/below`, type: "2" },
    ];
    const more = releaseOf(PROGRAM, (entries) => [...strange, ...entries]);
    answer = (_, response) => void response.end(more.archive);
    const { path } = await install({ release: more.release });
    const files = readdirSync(paths.cache, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
    assert.deepEqual([files.length, readFileSync(path)], [1, PROGRAM]);
  });

  it("follows a redirect, as upstream's store has one", async () => {
    answer = (request, response) =>
      void (request.url === "/store" ? response.end(archive) : response.writeHead(302, { location: "/store" }).end());
    await install();
    assert.deepEqual(requests, [IN_MIRROR, "/store"]);
  });
});

describe("a download that is not what it must be is named, and leaves nothing", () => {
  const REFUSED: readonly [name: string, answer: Answer, code: ErrorCode, words: RegExp][] = [
    ["404", (_, response) => void response.writeHead(404).end(), "not_found", /status 404/],
    ["500", (_, response) => void response.writeHead(500).end(), "dependency_missing", /status 500/],
    [
      "truncated",
      (_, response) => void response.end(archive.subarray(0, archive.length >> 1)),
      "artifact_corrupt",
      /is not the archive/,
    ],
    [
      "cut off",
      (_, response) => {
        response.writeHead(200, { "content-length": archive.length });
        response.write(archive.subarray(0, archive.length >> 1), () => response.destroy());
      },
      "dependency_missing",
      /could not be fetched/,
    ],
    ["altered", (_, response) => void response.end(altered(archive)), "artifact_corrupt", /is not the archive/],
    ["another release's", (_, response) => void response.end(other.archive), "artifact_corrupt", /is not the archive/],
    ["a page", (_, response) => void response.end("<html>log in</html>"), "artifact_corrupt", /is not the archive/],
    ["oversized", (_, response) => void response.end(Buffer.alloc(200_000)), "resource_exhausted", /more than 100000/],
    [
      "redirected in a circle",
      (_, response) => void response.writeHead(302, { location: "/again" }).end(),
      "dependency_missing",
      /redirects more than 5 times/,
    ],
    [
      "redirected to a server without https",
      (_, response) => void response.writeHead(302, { location: "http://192.0.2.1/x" }).end(),
      "invalid_argument",
      /not an https address/,
    ],
  ];
  const other = releaseOf(Buffer.from("another"));

  for (const [name, how, code, words] of REFUSED) {
    it(name, async () => {
      answer = how;
      await assert.rejects(install(), refusal(code, words));
      nothingIsLeft();
    });
  }

  it("slow, or silent", async () => {
    answer = (_, response) => void response.writeHead(200).write("a");
    await assert.rejects(
      install({ limits: { ...LIMITS, stallMs: 200 } }),
      refusal("deadline_exceeded", /no byte came/),
    );
    await assert.rejects(
      install({ limits: { ...LIMITS, deadlineMs: 200 } }),
      refusal("deadline_exceeded", /not fetched/),
    );
    nothingIsLeft();
  });

  it("cancelled", async () => {
    answer = (_, response) => void response.writeHead(200).write("a");
    await assert.rejects(install({ signal: AbortSignal.timeout(200) }), refusal("cancelled", /./));
    nothingIsLeft();
  });

  it("no server", async () => {
    await assert.rejects(
      install({ mirror: "http://127.0.0.1:1" }),
      refusal("dependency_missing", /could not be fetched/),
    );
    nothingIsLeft();
  });

  it("an address that is not https", async () => {
    for (const wrong of ["http://192.0.2.1", "ftp://localhost", "file:///etc", "nothing"]) {
      await assert.rejects(download(wrong, LIMITS), refusal("invalid_argument", /not an https address/));
    }
  });

  it("the right archive with a program that is not the pinned one", async () => {
    const programSha256 = "0".repeat(64);
    await assert.rejects(
      install({ release: { ...release, programSha256 } }),
      refusal("artifact_corrupt", /firecracker-v1\.12\.1-x86_64 in the archive is not the pinned one/),
    );
    nothingIsLeft();
  });

  it("the pinned archive without a program, with a link in its place, or with two", async () => {
    const changes: [words: RegExp, change: Parameters<typeof releaseOf>[1]][] = [
      [/has no .*firecracker/, (entries) => entries.filter(({ name }) => name !== archiveEntry(release))],
      [
        /no regular file/,
        (entries) =>
          entries.map((each) => ({ ...each, ...(each.name === archiveEntry(release) ? { type: "2" } : {}) })),
      ],
      [/twice/, (entries) => [...entries, ...entries]],
    ];
    for (const [words, change] of changes) {
      const bad = releaseOf(PROGRAM, change);
      answer = (_, response) => void response.end(bad.archive);
      await assert.rejects(install({ release: bad.release }), refusal("artifact_corrupt", words));
      nothingIsLeft();
    }
  });

  it("an archive that is no gzip, though its hash is right", async () => {
    const noise = Buffer.from("no gzip");
    answer = (_, response) => void response.end(noise);
    const pinned = { ...release, archiveSha256: sha256(noise) };
    await assert.rejects(install({ release: pinned }), refusal("artifact_corrupt", /cannot be unpacked/));
  });
});

describe("where it comes from", () => {
  it("is upstream, or a mirror laid out the same", () => {
    const upstream = "https://github.com/firecracker-microvm/firecracker/releases/download";
    const version = FIRECRACKER_RELEASE.version;
    const name = `v${version}/firecracker-v${version}-x86_64.tgz`;
    for (const none of [undefined, ""]) assert.equal(releaseUrl(none), `${upstream}/${name}`);
    assert.equal(releaseUrl("https://mirror.example/fc/"), `https://mirror.example/fc/${name}`);
  });

  it("an installed program that may not be executed, or is gone, is refused with the remedy", async () => {
    const { path } = await install();
    chmodSync(path, 0o644);
    const again = (failure: unknown) =>
      refusal("artifact_corrupt", /not the Firecracker that pyro installed/)(failure) &&
      /doctor --fix/.test((failure as PyroError).remedy ?? "");
    await assert.rejects(findFirecracker({ paths, env: { PATH: "" }, release }), again);
    chmodSync(path, 0o755);
    rmSync(path);
    await assert.rejects(findFirecracker({ paths, env: { PATH: "" }, release }), again);
  });
});

function altered(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}
