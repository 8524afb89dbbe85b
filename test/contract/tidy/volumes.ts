/** What a guest has written is for guests to read: no code of the host names a program that would look into a file system. */
import { matchingLines, type Rule, withoutComments } from "./tree.ts";

/** Programs that attach, mount, identify, check or take apart a file system or an image. */
const READERS = [
  ...["mount", "umount", "fusermount3?", "guestmount", "guestfish", "losetup", "kpartx", "partprobe", "udisksctl"],
  ...["blkid", "lsblk", "wipefs", "fsck[.\\w]*", "btrfsck", "btrfs(-[a-z-]+)?", "btrfstune", "resize2fs", "debugfs"],
  ...["dumpe2fs", "tune2fs", "e2fsck", "unsquashfs", "qemu-(img|io|nbd)", "nbd-client", "dd", "strings"],
].join("|");

/** Names that are not a program's here. Path to reason. */
const ALLOWED: Readonly<Record<string, string>> = {
  "src/environment/kernel-modules.ts": "the kernel modules that go into the guest's initramfs",
};

export const volumeReaders: Rule = {
  name: "volume-readers",
  covers: (path) =>
    /^(src|launcher\/src|seed\/src)\/.*\.(ts|rs)$/.test(path) &&
    !path.startsWith("src/guest/generated/") &&
    !(path in ALLOWED),
  leastFiles: 100,
  check: (file) =>
    matchingLines(
      file,
      new RegExp(`["'\`](/[\\w/]*/)?(${READERS})["'\`]`),
      "reads a file system that a guest may have written: have a guest do it",
      withoutComments(file.text),
    ),
};
