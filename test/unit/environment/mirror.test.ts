import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { proxiesOf } from "../../../src/environment/debian/apt-run.ts";
import {
  debianMirror,
  mirrorFromSources,
  parseDeb822Sources,
  parseOneLineSources,
  PUBLIC_MIRROR,
} from "../../../src/environment/debian/mirror.ts";
import { scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();

test("mirror: the host's own, in either style of its configuration", () => {
  const oneLine = `
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://near.example/debian/ bookworm main contrib # near
deb-src http://near.example/debian bookworm main
deb http://near.example/debian-security bookworm-security main
`;
  const deb822 = `Types: deb deb-src
URIs: http://near.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

# a comment
Types: deb
URIs: http://near.example/debian-security/
Suites: bookworm-security
Components: main
 contrib
`;
  const expected = { main: "http://near.example/debian", security: "http://near.example/debian-security" };
  assert.deepEqual(mirrorFromSources(parseOneLineSources(oneLine), "bookworm"), expected);
  assert.deepEqual(mirrorFromSources(parseDeb822Sources(deb822), "bookworm"), expected);
  assert.deepEqual(
    mirrorFromSources(parseDeb822Sources(deb822), "trixie"),
    PUBLIC_MIRROR,
    "another release's mirror is no help",
  );
});

test("mirror: a vendor's repository for the same suite is not taken for Debian's", () => {
  const sources = parseOneLineSources(`
deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/debian bookworm main
deb https://vendor.example/linux/debian bookworm stable
deb cdrom:[Debian]/ bookworm main
`);
  assert.deepEqual(mirrorFromSources(sources, "bookworm"), PUBLIC_MIRROR);
});

test("mirror: a disabled entry counts for nothing", () => {
  const text = "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n";
  assert.deepEqual(parseDeb822Sources(text), []);
});

test("mirror: a list of mirrors, as Debian's cloud images have it, gives its first", async () => {
  const list = join(scratch, "mirrors.list");
  await writeFile(list, "# best first\nhttp://first.example/debian/\thttp://second.example/debian\n");
  await mkdir(join(scratch, "sources.list.d"));
  const text = `Types: deb\nURIs: mirror+file://${list}\nSuites: bookworm\nComponents: main\n`;
  await writeFile(join(scratch, "sources.list.d", "debian.sources"), text);
  const found = await debianMirror("bookworm", {}, scratch);
  assert.deepEqual(found, { main: "http://first.example/debian", security: "http://first.example/debian-security" });
});

test("mirror: PYRO_DEBIAN_MIRROR decides, and must be a URL", async () => {
  const mirror = (value: string) => debianMirror("bookworm", { PYRO_DEBIAN_MIRROR: value }, scratch);
  assert.deepEqual(await mirror("https://own.example/debian/"), {
    main: "https://own.example/debian",
    security: "https://own.example/debian-security",
  });
  assert.deepEqual(await mirror("https://own.example/d https://other.example/s"), {
    main: "https://own.example/d",
    security: "https://other.example/s",
  });
  for (const bad of ["own.example/debian", "file:///srv/debian", "ftp://own.example/debian"]) {
    await assert.rejects(mirror(bad), { code: "invalid_argument" });
  }
});

test("mirror: the proxies of apt's configuration are carried over, its word for none is not", () => {
  assert.deepEqual(proxiesOf("http_proxy='http://proxy.example:3128'\nhttps_proxy='DIRECT'\n"), {
    http_proxy: "http://proxy.example:3128",
  });
  assert.deepEqual(proxiesOf(""), {});
});
