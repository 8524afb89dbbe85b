/** Of the table's third part: what lies on a machine's drives, whose it is, and how large. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { link as linkFile, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../../src/host/process.ts";
import { emptySeedPath } from "../../src/machine/bootable.ts";
import type { DriverCase } from "./driver-case.ts";
import { type DriverHost, run } from "./driver-host.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const SECTOR_BYTES = 512;
const PROGRAM_DEADLINE_MS = 60_000;

export const DRIVE_CASES: readonly DriverCase[] = [
  {
    name: "another seed and another volume lie under a restored machine",
    run: async (host) => {
      const directory = mkdtempSync(join(host.paths.cache, "seeds-"));
      // Two at once, from one template that was saved with empty ones.
      await Promise.all(
        ["one", "two"].map(async (name) => {
          const seed = await makeSeed(host, directory, name);
          const machine = await host.startOn(seed.path, async (volume) => {
            await writeAt(volume, 0, `${name} first`);
            await writeAt(volume, 64 * GIB - SECTOR_BYTES, `${name} last`);
          });
          try {
            const said = await run(machine, READ_DRIVES);
            const sectors = (64 * GIB) / SECTOR_BYTES;
            assert.deepEqual(said.trim().split("\n"), [
              `seed ${name}`,
              ...[`seed ${sectors}`, `volume ${sectors}`],
              ...[`${name} first`, `${name} last`, `seed is read-only`],
            ]);
            const volume = join(host.directoryOf(machine.id), "volume.raw");
            assert.equal((await readAt(volume, MIB, 4)).toString(), "kept", "what the guest flushed is in the file");
            assert.deepEqual(await readAt(seed.path, 0, seed.image.length), seed.image);
          } finally {
            await machine.scope.close();
          }
        }),
      );
    },
  },
  {
    name: "two machines never have one volume",
    run: async (host) => {
      const seed = emptySeedPath(host.paths.cache);
      const machine = await host.startOn(seed, async () => await Promise.resolve());
      try {
        const taken = join(host.directoryOf(machine.id), "volume.raw");
        const another = host.startOn(seed, async (path) => {
          await rm(path);
          await linkFile(taken, path);
        });
        await assert.rejects(another, { code: "invalid_state" });
        assert.equal(await run(machine, "echo works"), "works\n");
      } finally {
        await machine.scope.close();
      }
    },
  },
  {
    name: "a volume grows under a running machine, and never shrinks",
    run: async (host) => {
      const machine = await host.start();
      try {
        const sizeBytes = 80 * GIB;
        await machine.vmm.growVolume(sizeBytes);
        // The guest is told by an interrupt; what it has of the size by then is its kernel's own business.
        const seen = `until grep -qx ${sizeBytes / SECTOR_BYTES} /sys/block/vd*/size; do sleep 0.02; done; echo seen`;
        assert.equal(await run(machine, seen), "seen\n");
        await assert.rejects(machine.vmm.growVolume(sizeBytes - 1), { code: "invalid_argument" });
        await assert.rejects(machine.vmm.growVolume(2 * 1024 ** 4), { code: "invalid_argument" });
      } finally {
        await machine.scope.close();
      }
    },
  },
];

/** Prints what the drives hold and how large they are, writes to the volume, and tries to write to the seed. */
const READ_DRIVES = `set -e
# QEMU gives drives serials; Firecracker has them in the order of the slots.
drive() {
  for device in /sys/block/vd*; do
    if [ "$(cat $device/serial 2>/dev/null)" = "pyro-$1" ]; then echo \${device##*/}; return; fi
  done
  echo $2
}
seed=$(drive seed vdb); volume=$(drive volume vdc)
# mount(2): a minimal Debian has no program for it. Numbers of x86_64; read-only is 1 (linux/mount.h).
perl -e 'my ($on, $at, $as) = @ARGV; syscall(165, $on, $at, $as, 1, 0) == 0 or die "mount: $!\\n"' /dev/$seed /mnt squashfs
cat /mnt/name
echo "seed $(cat /sys/block/$seed/size)"; echo "volume $(cat /sys/block/$volume/size)"
text() { dd if=/dev/$volume bs=512 skip=$1 count=1 status=none | tr -d '\\0'; echo; }
text 0; text $(($(cat /sys/block/$volume/size) - 1))
printf kept | dd of=/dev/$volume bs=1M seek=1 conv=notrunc,fsync status=none
dd if=/dev/zero of=/dev/$seed count=1 conv=fsync status=none 2>/dev/null || echo "seed is read-only"
`;

/** An image with one file, padded to the slot's size. */
async function makeSeed(host: DriverHost, directory: string, name: string): Promise<{ path: string; image: Buffer }> {
  const content = join(directory, name);
  mkdirSync(content);
  writeFileSync(join(content, "name"), `seed ${name}\n`);
  const path = join(directory, `${name}.raw`);
  const { code, stderr } = await runProgram("mksquashfs", [content, path, "-quiet", "-no-progress"], {
    deadlineMs: PROGRAM_DEADLINE_MS,
  });
  assert.equal(code, 0, stderr);
  const image = readFileSync(path);
  truncateSync(path, statSync(emptySeedPath(host.paths.cache)).size);
  return { path, image };
}

async function writeAt(path: string, position: number, text: string): Promise<void> {
  const file = await open(path, "r+");
  await file.write(text, position);
  await file.close();
}

async function readAt(path: string, position: number, bytes: number): Promise<Buffer> {
  const file = await open(path, "r");
  const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, position);
  await file.close();
  return buffer;
}
