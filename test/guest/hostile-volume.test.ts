/** A volume whose guest has written anything to it: for the host it is bytes, which its VMM alone reads. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { CaseWorkspace } from "../support/case-workspace.ts";
import { FileWatch } from "../support/file-watch.ts";
import { client, paths } from "../support/guest-host.ts";

const ENVIRONMENT = "debian:12";

/**
 * The head of a qcow2 image that lies on a file of the host's, and garbage over what btrfs has written of its own but for its
 * superblocks: the next commit makes those whole, and they lead nowhere.
 */
const SPOIL = `set -eu
drive=/dev/$(for each in /sys/block/vd*; do test "$(cat $each/serial)" != pyro-volume || echo \${each##*/}; done)
perl -e '
  open my $drive, "+<", $ARGV[0] or die "$!";
  my $backing = "/etc/passwd";
  print $drive pack("a4 N Q> N N Q> N", "QFI\\xfb", 3, 104, length $backing, 16, 1 << 30, 0), "\\0" x 64, $backing;
  for my $mib (1 .. 63) { seek $drive, $mib << 20, 0; print $drive "x" x (1 << 20) }
  close $drive or die "$!";
' "$drive"
sync
`;

const pyro = client();

/** How a call ended: "done", or the code of its error. */
const ended = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => "done",
    (error: unknown) => (PyroError.is(error) ? error.code : assert.fail(String(error))),
  );

test("hostile volume: what its guest spoils is its own, and its VMM alone reads it, whatever is asked of the host", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("only root sees who reads a file");
  const { workspace: api } = pyro;
  const { workspace_id: workspace } = await api.create({ environment: ENVIRONMENT });
  const it = new CaseWorkspace(pyro, workspace, "");
  await api.snapshot.create({ workspace, snapshot: "one" });
  using watch = await FileWatch.begin(join(paths.state, "workspaces", workspace, "volume.raw"));
  await it.sh(SPOIL);
  await it.killMachine();
  assert.deepEqual(
    [
      await ended(api.status({ workspace })),
      await ended(api.start({ workspace })),
      await ended(api.reset({ workspace, snapshot: "one" })),
      await ended(api.update({ workspace, volume_gib: 80 })),
      await ended(api.snapshot.create({ workspace, snapshot: "two" })),
      await ended(api.stop({ workspace })),
      await ended(api.delete({ workspace })),
      await ended(api.delete({ workspace, force: true })),
      await ended(api.restore({ workspace })),
    ],
    ["done", "guest_failed", "guest_failed", "done", "invalid_state", "done", "invalid_state", "done", "done"],
  );
  assert.equal((await api.list({})).count, 1);
  // Whoever makes volumes and writes them to the disk opens it; who confines the VMM hands it on.
  assert.deepEqual(await watch.seen(), [
    ...["opened node", "opened perl", "opened pyro-launch", "opened qemu-system-x86"],
    ...["read perl", "read qemu-system-x86"],
  ]);
  await api.delete({ workspace, force: true, purge: true });
});
