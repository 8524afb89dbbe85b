/**
 * Shell commands that mmdebstrap runs on the system it builds, each with the tree's path as `$1`.
 *
 * Commands that begin with `sync-in` or `download` are mmdebstrap's own and are executed outside the namespaces, as
 * the user (mmdebstrap(1), HOOKS).
 */
import type { DebianSuite } from "../definition.ts";
import { sourceLines } from "./apt-root.ts";

/** The name every system has until its machine is given another. */
const HOST_NAME = "pyro";

/** Before any package: what the build itself needs. */
export function setupHooks(archives: string, lists: string): string[] {
  return [
    // The tree is thrown away when anything fails, so nothing is gained by flushing every file of every package.
    shell(`mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && echo force-unsafe-io > "$1/etc/dpkg/dpkg.cfg.d/pyro-build"`),
    shell(`echo 'Acquire::Languages "none";' > "$1/etc/apt/apt.conf.d/90pyro"`),
    shell(
      `mkdir -p "$1/var/cache/apt/archives/partial" "$1/var/lib/apt/lists/partial" "$1/var/lib/apt/lists/auxfiles"`,
    ),
    `sync-in ${quote(archives)} /var/cache/apt/archives`,
    `sync-in ${quote(lists)} /var/lib/apt/lists`,
    // The lists were verified when our own apt fetched them. With these files there mmdebstrap takes them as they are
    // (its run_update) and needs no network; without, it would fetch them again, verifying them too.
    shell(`touch "$1/var/lib/apt/lists/lock" "$1/var/cache/apt/pkgcache.bin" "$1/var/cache/apt/srcpkgcache.bin"`),
  ];
}

/**
 * After the last package: takes out what belongs to this host or this build, leaves what a guest should have. The list
 * of packages goes to `packageList` on the host, as lines of name, version and architecture.
 */
export function customizeHooks(suite: DebianSuite, packageList: string): string[] {
  return [
    shell(
      `chroot "$1" dpkg-query --show --showformat '\${Package}\\t\${Version}\\t\${Architecture}\\n' > "$1/tmp/packages"`,
    ),
    `download /tmp/packages ${quote(packageList)}`,
    shell(`rm -f "$1/etc/dpkg/dpkg.cfg.d/pyro-build"`),
    writeFile("/etc/apt/sources.list", sourceLines(suite)),
    writeFile("/etc/hostname", [HOST_NAME]),
    writeFile("/etc/hosts", [`127.0.0.1 localhost ${HOST_NAME}`, "::1 localhost ip6-localhost ip6-loopback"]),
    // Each guest gets its own, from the agent; a file is there so that it can be mounted over.
    shell(`rm -f "$1/etc/resolv.conf" && : > "$1/etc/resolv.conf" && : > "$1/etc/machine-id"`),
    // sync-in brought the owner and the mode of our directories with it.
    shell(`chmod 755 "$1/var/cache/apt/archives" "$1/var/lib/apt/lists"`),
    shell(`chown -R 0:0 "$1/var/cache/apt/archives" "$1/var/lib/apt/lists"`),
    shell(`rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/systemd/random-seed`),
    shell(`find "$1/var/log" -type f -delete`),
    shell(`rm -f "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old "$1"/etc/*- "$1"/var/cache/ldconfig/aux-cache`),
  ];
}

function writeFile(path: string, lines: readonly string[]): string {
  return shell(`printf '%s\\n' ${lines.map(quote).join(" ")} > "$1${path}"`);
}

/** mmdebstrap executes a command without shell characters directly, so each of ours is one for the shell. */
function shell(script: string): string {
  return `set -e; ${script}`;
}

/** A word for both the shell and Perl's Text::ParseWords, which splits mmdebstrap's own commands. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
