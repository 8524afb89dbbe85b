/** Every default and limit of the public contract, with its unit in its name. */

/** vCPUs of a machine: Firecracker allows 32; 8 keeps one guest from starving a laptop. */
export const VCPU_COUNT_MAX = 8;
export const VCPU_COUNT_MIN = 1;

/** Guest memory. Below 256 MiB the Debian kernel with its initramfs does not boot reliably. */
export const MEMORY_MIB_MIN = 256;
export const MEMORY_MIB_MAX = 32_768;

/** Time limit of one command. */
export const TIMEOUT_SECONDS_DEFAULT = 30;
export const TIMEOUT_SECONDS_MAX = 86_400;

/** Captured output per stream in a buffered result (`run --json`, SDK, MCP); more is counted, not kept. */
export const CAPTURE_BYTES_MAX = 16 * 1024 * 1024;

/** Command line and environment of one command: Linux MAX_ARG_STRLEN × 16 (execve(2), 4 KiB pages). */
export const COMMAND_BYTES_MAX = 2 * 1024 * 1024;

/** Longest environment name; it becomes part of a path. */
export const ENVIRONMENT_NAME_CHARS_MAX = 64;

/** How long a workspace may be idle before it is stopped, and kept. */
export const TTL_SECONDS_DEFAULT = 3600;
export const TTL_SECONDS_MIN = 60;
export const TTL_SECONDS_MAX = 14 * 86_400;

/** Snapshots of one workspace, the baseline not counted. Each is a subvolume, which btrfs has room for; a list is not. */
export const SNAPSHOTS_MAX = 256;

/** Largest volume of a workspace. It is sparse: what counts on the host's disk is what a guest has written. */
export const VOLUME_GIB_MAX = 1024;

/** How long a deleted workspace can be restored. */
export const TRASH_DAYS = 7;

/** Paths that a diff lists; the patch itself has no limit where it is a stream. */
export const DIFF_ENTRIES_MAX = 20_000;

/** Bytes that one read of a file gives; the rest is had by its offset. */
export const FILE_READ_BYTES_DEFAULT = 64 * 1024;
export const FILE_READ_BYTES_MAX = 1024 * 1024;

/** Content of a file that is written by a call: a larger one goes by a sync, which is a stream. */
export const FILE_WRITE_BYTES_MAX = 1024 * 1024;

/** Entries of a list, and lines of a search, in one answer. */
export const FILE_ENTRIES_MAX = 10_000;

/** A patch that is a part of a call: a larger one is a stream, which has no limit. */
export const PATCH_TEXT_BYTES_MAX = 1024 * 1024;

/** Files and failures of a patch in one answer. */
export const PATCH_ENTRIES_MAX = 50_000;
