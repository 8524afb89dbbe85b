/** `npm ci` works on any machine with any registry: the lock is whole, exact, and names no registry. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
type Versions = Readonly<Record<string, string>>;

const read = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
const { packages } = read("package-lock.json") as { packages: Readonly<Record<string, Locked>> };
const manifest = read("package.json") as { dependencies?: Versions; devDependencies: Versions };
const installed = Object.entries(packages).filter(([path]) => path !== "");

describe("package-lock.json", () => {
  it("has a version of every optional dependency of other platforms (npm run lock)", () => {
    const missing = installed.flatMap(([parent, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) =>
        [`node_modules/${name}`, `${parent}/node_modules/${name}`].every(
          (path) => packages[path]?.version === undefined,
        ),
      ),
    );
    assert.deepEqual(missing, []);
  });

  it("has the hash of everything that is installed here", () => {
    const without = installed.filter(([, { integrity, optional }]) => integrity === undefined && optional !== true);
    assert.deepEqual(without, []);
  });

  it("names no registry", () => {
    assert.deepEqual(
      installed.filter(([, { resolved }]) => resolved !== undefined),
      [],
    );
  });

  it("follows exact versions in package.json", () => {
    const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    assert.ok(all.length > 10);
    assert.deepEqual(
      all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)),
      [],
    );
    assert.deepEqual(
      all.filter(([name, version]) => packages[`node_modules/${name}`]?.version !== version),
      [],
    );
  });
});
