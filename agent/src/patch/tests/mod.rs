//! Patches that git and pyro make, and damaged ones, on trees that are there.

mod effort;
#[path = "../../../tests/support/trees.rs"]
mod trees;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use trees::{Numbers, Scratch, blobs, copy, random_trees, remove_empty};

use super::*;
use crate::changes;
use crate::files::Plan;

/// Trees that the suite makes; `PYRO_PATCH_TREES` makes more.
const TREES: u64 = 40;
/// Files that are patched after they were edited.
const DRIFTS: u64 = 200;

/// A file with this content, without a name.
pub(super) fn spooled(text: &[u8]) -> File {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("pyro-patch-spool-{}-{number}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    fs::remove_file(path).unwrap();
    file.write_all(text).unwrap();
    file
}

fn apply_to(tree: &Path, patch: &[u8], options: Options) -> Result<Report, String> {
    let staged = tree.with_extension("staged");
    let _ = fs::remove_dir_all(&staged);
    fs::create_dir(&staged).unwrap();
    let (place, root) = (File::open(&staged).unwrap(), File::open(tree).unwrap());
    let done = apply_in((place.as_fd(), root.as_fd()), options, (patch, Effort::new()), &mut |_| Ok(()));
    fs::remove_dir_all(staged).unwrap();
    done.map_err(|error| error.to_string())
}

fn shown(report: &Report) -> Vec<String> {
    let line = |failure: &Failure| {
        let path = String::from_utf8_lossy(&failure.path);
        format!("{path}: {:?} hunk {:?} at {}: {}", failure.reason, failure.hunk, failure.patch_line, failure.text)
    };
    report.failures.iter().map(line).collect()
}

fn apply_all(tree: &Path, patch: &[u8], options: Options, what: &str) -> Report {
    let report = apply_to(tree, patch, options);
    let report = report.unwrap_or_else(|error| panic!("{what}: {error}\n{}", String::from_utf8_lossy(patch)));
    assert!(report.failures.is_empty(), "{what}: {:#?}\n{}", shown(&report), String::from_utf8_lossy(patch));
    report
}

/// Git's diff of two directories beside each other.
fn git_diff(from: &Path, to: &Path, more: &[&str]) -> Vec<u8> {
    let names = [from, to].map(|path| path.file_name().unwrap().to_owned());
    let mut git = Command::new("git");
    git.args(["-c", "core.quotePath=true", "diff", "--no-index", "--binary", "--full-index"]).args(more).args(names);
    git.current_dir(from.parent().unwrap()).output().unwrap().stdout
}

/// Pyro's diff.
fn own_diff(from: &Path, to: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let mut sink = |event: changes::Event<'_>| {
        if let changes::Event::Patch(piece) = event {
            text.extend(piece);
        }
        Ok(())
    };
    let options = changes::Options { include_ignored: true, include_binary: true, with_patch: true };
    changes::compare(File::open(from).unwrap(), File::open(to).unwrap(), options, None, &mut sink).unwrap();
    text
}

/// Random trees without empty directories, as a patch makes them.
fn trees_of_files(scratch: &Scratch, seed: u64) -> ([PathBuf; 3], Numbers) {
    let (trees, numbers) = random_trees(scratch, seed);
    trees.iter().for_each(|tree| remove_empty(tree));
    (trees, numbers)
}

#[test]
fn a_diff_of_random_edits_gives_the_edited_tree_and_its_reverse_the_first() {
    let trees = std::env::var("PYRO_PATCH_TREES").map_or(TREES, |text| text.parse().unwrap());
    for seed in 1..=trees {
        let scratch = Scratch::new(&format!("apply-{seed}"));
        let ([from, to, copied], _) = trees_of_files(&scratch, seed);
        if blobs(&from) == blobs(&to) {
            continue;
        }
        let strip = |strip| Options { strip: Some(strip), ..Options::default() };
        let cases = [
            ("git", git_diff(&from, &to, &["-M"]), strip(2)),
            ("git without prefix", git_diff(&from, &to, &["--no-prefix", "--no-renames", "-U1"]), strip(1)),
            ("pyro", own_diff(&from, &to), Options::default()),
        ];
        for (what, patch, options) in &cases {
            let what = format!("seed {seed}, {what}");
            apply_all(&copied, patch, Options { is_check: true, ..*options }, &what);
            assert_eq!(blobs(&copied), blobs(&from), "{what}, checked");
            apply_all(&copied, patch, *options, &what);
            assert_eq!(blobs(&copied), blobs(&to), "{what}");
            apply_all(&copied, patch, Options { is_reverse: true, ..*options }, &what);
            assert_eq!(blobs(&copied), blobs(&from), "{what}, reverse");
        }
        let copies = git_diff(&from, &to, &["-C", "-C", "-l0"]);
        apply_all(&copied, &copies, strip(2), &format!("seed {seed}, with copies"));
        assert_eq!(blobs(&copied), blobs(&to), "seed {seed}, with copies");
    }
}

fn mutated(numbers: &mut Numbers, patch: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = patch.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(lines.len() as u64) as usize;
        match numbers.below(6) {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let other = numbers.below(lines.len() as u64) as usize;
                lines.swap(at, other);
            }
            3 => lines.truncate(at + 1),
            _ => {
                let place = numbers.below(lines[at].len() as u64) as usize;
                lines[at][place] = *numbers.of(b"0 9/.-+@\n\\\"ab\xff");
            }
        }
    }
    lines.concat()
}

#[test]
fn a_damaged_patch_changes_nothing_or_what_git_makes_of_it() {
    for seed in 1..=TREES {
        let scratch = Scratch::new(&format!("damaged-{seed}"));
        let ([from, to, copied], mut numbers) = trees_of_files(&scratch, seed);
        let patch = own_diff(&from, &to);
        if patch.is_empty() {
            continue;
        }
        let before = blobs(&from);
        for _ in 0..20 {
            let damaged = mutated(&mut numbers, &patch);
            let is_applied =
                apply_to(&copied, &damaged, Options::default()).is_ok_and(|report| report.failure_count == 0);
            if !is_applied {
                assert_eq!(blobs(&copied), before, "seed {seed}\n{}", String::from_utf8_lossy(&damaged));
                continue;
            }
            let theirs = scratch.0.join("theirs");
            copy(&from, &theirs);
            // Git makes a file of this name where a line `deleted file mode` is missing, and deletes nothing where the backward half of
            // a binary deletion, which is not needed, is damaged.
            let is_odd = memchr::memmem::find(&damaged, b"GIT binary patch").is_some();
            if !is_odd && git_apply(&theirs, &damaged) && !theirs.join("dev").exists() {
                assert!(blobs(&copied) == blobs(&theirs), "seed {seed}\n{}", String::from_utf8_lossy(&damaged));
            }
            for tree in [&theirs, &copied] {
                fs::remove_dir_all(tree).unwrap();
            }
            copy(&from, &copied);
        }
    }
}

fn git_apply(tree: &Path, patch: &[u8]) -> bool {
    git_apply_with(tree, patch, &[])
}

fn git_apply_with(tree: &Path, patch: &[u8], more: &[&str]) -> bool {
    let file = tree.with_extension("patch");
    fs::write(&file, patch).unwrap();
    let mut git = Command::new("git");
    git.args(["-c", "core.autocrlf=false", "apply", "--whitespace=nowarn"]).args(more).arg(&file);
    git.current_dir(tree).env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap()).output().unwrap().status.success()
}

#[test]
fn what_was_edited_meanwhile_is_patched_where_git_patches_it_or_not_at_all() {
    let scratch = Scratch::new("drift");
    let [from, to, ours, theirs] = ["from", "to", "ours", "theirs"].map(|name| scratch.0.join(name));
    for directory in [&from, &to, &ours, &theirs] {
        fs::create_dir(directory).unwrap();
    }
    let mut applied = 0;
    for seed in 1..=DRIFTS {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let lines = 10 + numbers.below(60);
        // Few different lines, so that a hunk may fit in several places.
        let base: String = (0..lines).map(|_| format!("line {}\n", numbers.below(5))).collect();
        let drifted = trees::edited(&mut numbers, base.as_bytes());
        fs::write(from.join("x"), &base).unwrap();
        fs::write(to.join("x"), trees::edited(&mut numbers, base.as_bytes())).unwrap();
        let patch = git_diff(&from, &to, &[]);
        if patch.is_empty() {
            continue;
        }
        for tree in [&ours, &theirs] {
            fs::write(tree.join("x"), &drifted).unwrap();
        }
        let report = apply_to(&ours, &patch, Options { strip: Some(2), ..Options::default() }).unwrap();
        let is_applied = git_apply_with(&theirs, &patch, &["-p2"]);
        let what = || format!("seed {seed}: {:?}\n{}", shown(&report), String::from_utf8_lossy(&patch));
        assert_eq!(report.failure_count == 0, is_applied, "{}", what());
        assert!(blobs(&ours) == blobs(&theirs), "{}", what());
        applied += u64::from(is_applied);
    }
    assert!((DRIFTS / 10..DRIFTS * 9 / 10).contains(&applied), "{applied} of {DRIFTS} apply");
}

fn tree(name: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(&format!("patched-{name}"));
    let tree = scratch.0.join("tree");
    fs::create_dir(&tree).unwrap();
    (scratch, tree)
}

fn numbered(lines: std::ops::RangeInclusive<u32>) -> String {
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_failure_of_every_file_is_told_of_and_nothing_is_touched() {
    let (_scratch, tree) = tree("failures");
    fs::write(tree.join("a"), numbered(1..=30)).unwrap();
    fs::write(tree.join("b"), "x\n").unwrap();
    let patch = "--- a/a\n+++ b/a\n@@ -2,3 +2,3 @@\n 2\n-three\n+3!\n 4\n@@ -10,3 +10,3 @@\n 10\n-11\n+eleven\n 12\n\
                 @@ -11,3 +11,3 @@\n 11\n-12\n+twelve\n 13\n@@ -40,3 +40,3 @@\n 40\n-41\n+x\n 42\n\
                 --- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n--- a/b\n+++ b/b\n@@ -1 +1 @@\n-x\n+y\n\
                 --- /dev/null\n+++ b/b\n@@ -0,0 +1 @@\n+new\n";
    let report = apply_to(&tree, patch.as_bytes(), Options::default()).unwrap();
    let told: Vec<(Reason, Option<u32>, u64, Option<u64>)> =
        report.failures.iter().map(|each| (each.reason, each.hunk, each.patch_line, each.line)).collect();
    assert_eq!(
        told,
        [
            (Reason::NoMatch, Some(1), 3, Some(3)),
            (Reason::Overlap, Some(3), 13, None),
            (Reason::NoMatch, Some(4), 18, Some(40)),
            (Reason::Missing, None, 23, None),
            (Reason::Overlap, None, 33, None),
        ],
        "{:#?}",
        shown(&report)
    );
    let first = &report.failures[0];
    assert_eq!((first.expected.as_deref(), first.found.as_deref()), (Some(&b"three"[..]), Some(&b"3"[..])));
    assert_eq!(fs::read_to_string(tree.join("a")).unwrap(), numbered(1..=30));
    assert_eq!(fs::read_to_string(tree.join("b")).unwrap(), "x\n");
}

#[test]
fn a_hunk_is_found_near_its_line_and_its_offset_is_told() {
    let (_scratch, tree) = tree("offset");
    let hunk = |line: u32| format!("--- a/a\n+++ b/a\n@@ -{line},3 +{line},3 @@\n a\n-b\n+B\n c\n");
    let block = |at: &str| format!("{at}a\nb\nc\n");
    let text = [block("1\n2\n"), block("3\n"), block("4\n5\n6\n7\n")].concat();
    // Blocks begin at the lines 3, 7 and 14; of two that are as near the later one is taken.
    for (line, expected, offset) in [(3, 3, 0), (4, 3, -1), (5, 7, 2), (6, 7, 1), (11, 14, 3), (90, 14, -76)] {
        fs::write(tree.join("a"), &text).unwrap();
        let report = apply_all(&tree, hunk(line).as_bytes(), Options::default(), "offset");
        let moved: Vec<_> = report.files[0].moved.iter().map(|moved| (moved.line, moved.offset)).collect();
        let wanted = if offset == 0 { vec![] } else { vec![(expected, offset)] };
        assert_eq!(moved, wanted, "line {line}");
        let after = fs::read_to_string(tree.join("a")).unwrap();
        let changed = after.lines().position(|line| line == "B").unwrap() as u64;
        assert_eq!(changed, expected, "line {line}");
    }
    for (line, text) in [(1, "0\na\nb\nc\n"), (3, "1\na\nx\nc\n")] {
        fs::write(tree.join("a"), text).unwrap();
        let report = apply_to(&tree, hunk(line).as_bytes(), Options::default()).unwrap();
        assert_eq!(report.failure_count, 1, "{line} {text:?}");
    }
}

#[test]
fn a_patch_leads_nowhere_else() {
    let (scratch, tree) = tree("escape");
    let outside = scratch.0.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "a\n").unwrap();
    symlink(&outside, tree.join("link")).unwrap();
    symlink(outside.join("file"), tree.join("file-link")).unwrap();
    fs::create_dir_all(tree.join("dir")).unwrap();
    fs::write(tree.join("file"), "a\n").unwrap();
    assert!(Command::new("mkfifo").arg(tree.join("fifo")).status().unwrap().success());
    let new = |name: &str| {
        format!("diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+b\n")
    };
    let change = |name: &str| format!("--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-a\n+b\n");
    let link = "diff --git a/made b/made\nnew file mode 120000\n--- /dev/null\n+++ b/made\n@@ -0,0 +1 @@\n+/tmp\n\\ No newline at end of file\n";
    let absolute = "--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n".to_owned();
    for (patch, reason) in [
        (new("../outside/new"), Reason::Path),
        (new("dir/../../outside/new"), Reason::Path),
        (new(".git/hooks/post-checkout"), Reason::Path),
        (new("dir/.GIT/config"), Reason::Path),
        (new("link/new"), Reason::Path),
        (change("link/file"), Reason::Path),
        (change("file-link"), Reason::Kind),
        (change("fifo"), Reason::Kind),
        (change("dir"), Reason::Kind),
        (new("fifo"), Reason::Exists),
        (new("file-link"), Reason::Exists),
        (new("dir"), Reason::Kind),
        (new("file/below"), Reason::Path),
        (absolute, Reason::Path),
        (format!("{link}{}", new("made/passwd")), Reason::Overlap),
        (format!("{}{link}", new("made/passwd")), Reason::Overlap),
        (format!("{}{}", new("x"), new("x/y")), Reason::Overlap),
        (format!("{}{}", new("x"), new("x")), Reason::Overlap),
        ("diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1234567\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n+Subproject commit 1\n".to_owned(), Reason::Unsupported),
        ("diff --git a/file b/file\nindex 1234567..89abcde 100644\nBinary files a/file and b/file differ\n".to_owned(), Reason::Unsupported),
    ] {
        let report = apply_to(&tree, patch.as_bytes(), Options::default()).unwrap_or_else(|error| panic!("{patch}{error}"));
        assert!(report.failures.first().is_some_and(|failure| failure.reason == reason), "{patch}{:?}", shown(&report));
    }
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "a\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 5);
    // Two names are two files.
    apply_all(&tree, format!("{}{}", new("readme"), new("README")).as_bytes(), Options::default(), "case");
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 7);
}

#[test]
fn a_file_that_is_patched_keeps_its_mode_and_a_new_one_has_the_usual_one() {
    let (_scratch, tree) = tree("modes");
    fs::write(tree.join("a"), "a\n").unwrap();
    fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o4640)).unwrap();
    let mode = |name: &str| fs::metadata(tree.join(name)).unwrap().mode() & 0o7777;
    apply_all(&tree, b"--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n", Options::default(), "content");
    assert_eq!(mode("a"), 0o4640);
    let executable = b"diff --git a/a b/a\nold mode 100644\nnew mode 100755\n";
    apply_all(&tree, executable, Options::default(), "mode");
    assert_eq!(mode("a"), 0o4750);
    apply_all(&tree, executable, Options { is_reverse: true, ..Options::default() }, "mode");
    assert_eq!(mode("a"), 0o4640);
    let made = b"diff --git a/d/x b/d/x\nnew file mode 100755\nindex 0000000..e69de29\n";
    apply_all(&tree, made, Options::default(), "new");
    assert_eq!((mode("d/x"), mode("d")), (0o755, 0o755));
    apply_all(&tree, made, Options { is_reverse: true, ..Options::default() }, "new");
    assert!(!tree.join("d").exists(), "a directory that is empty then goes as well");
}

#[test]
fn renames_are_made_at_once_and_diffs_in_one_patch_one_after_the_other() {
    let (_scratch, tree) = tree("renames");
    fs::write(tree.join("a"), "a\n").unwrap();
    fs::write(tree.join("b"), "b\n").unwrap();
    let rename = |from: &str, to: &str| {
        format!("diff --git a/{from} b/{to}\nsimilarity index 100%\nrename from {from}\nrename to {to}\n")
    };
    let read = |name: &str| fs::read_to_string(tree.join(name)).unwrap();
    apply_all(&tree, [rename("a", "b"), rename("b", "a")].concat().as_bytes(), Options::default(), "swapped");
    assert_eq!((read("a"), read("b")), ("b\n".to_owned(), "a\n".to_owned()));
    let change = "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-b\n+c\n";
    let series = [change.to_owned(), rename("a", "dir/c"), rename("dir/c", "d")].concat();
    apply_all(&tree, series.as_bytes(), Options::default(), "one after the other");
    assert_eq!((read("d"), fs::read_dir(&tree).unwrap().count()), ("c\n".to_owned(), 2));
    apply_all(&tree, series.as_bytes(), Options { is_reverse: true, ..Options::default() }, "back");
    assert_eq!((read("a"), fs::read_dir(&tree).unwrap().count()), ("b\n".to_owned(), 2));
}

#[test]
fn whichever_step_fails_the_tree_is_as_it_was() {
    for at in 0.. {
        let (scratch, tree) = tree(&format!("fault-{at}"));
        let [coming, going] = ["coming", "going"].map(|name| scratch.0.join(name));
        for directory in [
            tree.join("gone/deep"),
            tree.join("kept"),
            coming.join("kept"),
            coming.join("now-a-directory"),
            going.clone(),
        ] {
            fs::create_dir_all(directory).unwrap();
        }
        for file in ["gone/deep/file", "kept/changed", "kept/gone", "now-a-directory"] {
            fs::write(tree.join(file), "old").unwrap();
        }
        for file in ["gone", "kept/changed", "kept/new", "now-a-directory/file"] {
            fs::write(coming.join(file), "new").unwrap();
        }
        let before = blobs(&tree);
        let taken = ["gone/deep/file", "kept/gone", "now-a-directory", "gone/deep", "gone"]
            .map(|path| path.as_bytes().to_vec());
        let [from, to, aside] = [&coming, &tree, &going].map(|path| File::open(path).unwrap());
        let plan = Plan::replacing(from.as_fd(), to.as_fd(), taken.to_vec()).unwrap();
        let mut fault = |number| if number == at { Err(Errno::NOSPC) } else { Ok(()) };
        if plan.apply((from.as_fd(), to.as_fd()), aside.as_fd(), &mut fault).is_ok() {
            assert_eq!(at, 9, "every step was failed once");
            let names: Vec<Vec<u8>> = blobs(&tree).into_iter().map(|(name, ..)| name).collect();
            let wanted = ["gone", "kept/changed", "kept/new", "now-a-directory/file"];
            assert_eq!(names, wanted.map(|name| name.as_bytes().to_vec()));
            return;
        }
        assert_eq!(blobs(&tree), before, "step {at}");
    }
}

#[test]
fn a_directory_that_somebody_has_put_something_into_is_not_taken_away() {
    let (scratch, tree) = tree("filled");
    let [coming, going] = ["coming", "going"].map(|name| scratch.0.join(name));
    for directory in [&coming, &going, &tree.join("dir")] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(tree.join("dir/file"), "old").unwrap();
    let [from, to, aside] = [&coming, &tree, &going].map(|path| File::open(path).unwrap());
    let taken = vec![b"dir/file".to_vec(), b"dir".to_vec()];
    let plan = Plan::replacing(from.as_fd(), to.as_fd(), taken).unwrap();
    fs::write(tree.join("dir/somebody's"), "mine").unwrap();
    let error = plan.apply((from.as_fd(), to.as_fd()), aside.as_fd(), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, FilesError::Conflict(_)), "{error}");
    assert_eq!(fs::read_dir(tree.join("dir")).unwrap().count(), 2);
}

#[test]
fn a_content_that_is_too_large_for_lines_is_refused_by_name_and_goes_as_a_binary_patch() {
    let (scratch, tree) = tree("large");
    let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
    for directory in [&from, &to] {
        fs::create_dir(directory).unwrap();
    }
    let large = "one line of many\n".repeat((hunk::MAX_TEXT_BYTES / 17) + 1);
    fs::write(to.join("large"), &large).unwrap();
    let lines = large.lines().count();
    let text = format!("--- /dev/null\n+++ b/large\n@@ -0,0 +1,{lines} @@\n{}", "+one line of many\n".repeat(lines));
    let report = apply_to(&tree, text.as_bytes(), Options::default()).unwrap();
    assert_eq!(report.failures[0].reason, Reason::Limit, "{:?}", shown(&report));
    apply_all(&tree, &own_diff(&from, &to), Options::default(), "binary");
    assert!(fs::read(tree.join("large")).unwrap() == large.as_bytes());
}

#[test]
fn a_binary_patch_that_was_damaged_or_made_of_another_content_is_refused() {
    let (scratch, tree) = tree("binary");
    let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
    let bytes = |seed| {
        let mut numbers = Numbers(seed);
        (0..5000).map(|_| numbers.below(256) as u8).collect::<Vec<u8>>()
    };
    let after = [&bytes(1)[..2500], b"inserted", &bytes(1)[1000..]].concat();
    for (directory, content) in [(&from, bytes(1)), (&to, after.clone()), (&tree, bytes(1))] {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("x"), content).unwrap();
    }
    let patch = git_diff(&from, &to, &[]);
    assert!(memchr::memmem::find(&patch, b"\ndelta ").is_some(), "{}", String::from_utf8_lossy(&patch));
    let options = Options { strip: Some(2), ..Options::default() };
    let text = String::from_utf8(patch.clone()).unwrap();
    let at = text.find("\ndelta ").unwrap() + 30;
    let digit = if &text[at..=at] == "A" { "B" } else { "A" };
    for damaged in [
        text.replacen("\ndelta ", "\ndelta 1", 1),
        text.replacen("..", "..1", 1),
        text.replacen("index ", "index 1", 1),
        text.replacen("\ndelta ", "\nliteral ", 1),
        [&text[..at], digit, &text[at + 1..]].concat(),
    ] {
        let outcome = apply_to(&tree, damaged.as_bytes(), options);
        let is_refused =
            outcome.as_ref().map_or(true, |report| report.failures.iter().any(|each| each.reason == Reason::Content));
        assert!(is_refused, "{:?}\n{damaged}", outcome.map(|report| shown(&report)));
        assert_eq!(fs::read(tree.join("x")).unwrap(), bytes(1));
    }
    apply_all(&tree, &patch, options, "delta");
    assert_eq!(fs::read(tree.join("x")).unwrap(), after);
    let report = apply_to(&tree, &patch, options).unwrap();
    assert_eq!(report.failures[0].reason, Reason::Content);
}
