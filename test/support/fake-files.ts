/** Files of a volume without a guest: whole ones, by their paths. A tree's stream is one file called `stream`. */
import { PyroError } from "../../src/contract/error.ts";
import type { FileEntry, MachineFiles } from "../../src/machine/guest-files.ts";
import type { VolumeState } from "../../src/machine/machine.ts";

export class FakeFiles implements MachineFiles {
  readonly #files = new Map<string, Buffer>();
  readonly #changed: () => VolumeState;

  constructor(changed: () => VolumeState) {
    this.#changed = changed;
  }

  push: MachineFiles["push"] = async (destination, stream) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of stream) pieces.push(piece);
    const data = Buffer.concat(pieces);
    this.#files.set(`${Buffer.from(destination).toString()}/stream`, data);
    return { volume: this.#changed(), entries: 1, bytes: data.length, replaced: 0 };
  };

  pull: MachineFiles["pull"] = async (files, take) => {
    for (const { path } of files) await take(this.#find(path));
    return { skipped: 0, firstSkipped: [] };
  };

  list: MachineFiles["list"] = async ({ limit }) => {
    const names = [...this.#files.keys()].toSorted();
    const entries = names.slice(0, limit).map((name) => this.#entry(name));
    return await Promise.resolve({ entries, more: names.length > limit });
  };

  read: MachineFiles["read"] = async (path, { offset, limit }) => {
    const data = this.#find(path);
    return await Promise.resolve({ data: data.subarray(offset, offset + limit), size: data.length, mode: 0o644 });
  };

  write: MachineFiles["write"] = async (path, change) => {
    const name = Buffer.from(path).toString();
    const before = this.#files.get(name);
    if (!("data" in change)) throw new PyroError("invalid_state", "the text is not in it");
    this.#files.set(name, Buffer.from(change.data));
    const created = before === undefined;
    return await Promise.resolve({ volume: this.#changed(), size: change.data.length, created, replaced: 0 });
  };

  patch: MachineFiles["patch"] = async (options, pieces) => {
    const whole: Uint8Array[] = [];
    for await (const piece of pieces) whole.push(piece);
    if (!options.check) this.#files.set("patch", Buffer.concat(whole));
    return { volume: this.#changed(), files: [], fileCount: 0, failures: [], failureCount: 0 };
  };

  search: MachineFiles["search"] = async () =>
    await Promise.resolve({ lines: [], more: false, searchedFiles: this.#files.size, binaryFiles: 0 });

  #find(path: Uint8Array): Buffer {
    const name = Buffer.from(path).toString();
    const found = this.#files.get(name);
    if (found === undefined) throw new PyroError("not_found", `there is no ${name}`);
    return found;
  }

  #entry(name: string): FileEntry {
    const size = this.#files.get(name)?.length ?? 0;
    const path = Buffer.from(name);
    const target = new Uint8Array();
    return { path, kind: "file", size, mode: 0o644, uid: 0, gid: 0, modifiedNs: 0n, target };
  }
}
