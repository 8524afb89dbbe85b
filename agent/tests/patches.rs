//! A patch of two trees, applied by git to the first, gives the second.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "support/trees.rs"]
mod trees;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pyro_agent::changes::{Change, Event, Options, Summary, compare};
use trees::{Scratch, blobs, copy, random_trees};

/// Trees that the suite makes; `PYRO_PATCH_TREES` makes more.
const TREES: u64 = 100;

fn patch(from: &Path, to: &Path, options: Options) -> (Summary, Vec<u8>, Vec<Change>) {
    let (mut summary, mut text, mut changes) = (Summary::default(), Vec::new(), Vec::new());
    let mut sink = |event: Event<'_>| {
        match event {
            Event::Summary(told) => summary = told,
            Event::Patch(piece) => text.extend(piece),
            Event::Change(change, _) => changes.push(change.clone()),
        }
        Ok(())
    };
    compare(File::open(from).unwrap(), File::open(to).unwrap(), options, None, &mut sink).unwrap();
    (summary, text, changes)
}

const WHOLE: Options = Options { include_ignored: true, include_binary: true, with_patch: true };

fn apply(patch: &[u8], tree: &Path, more: &[&str]) -> Result<(), String> {
    let file = tree.with_extension("patch");
    fs::write(&file, patch).unwrap();
    let mut git = Command::new("git");
    git.args(["-c", "core.autocrlf=false", "apply", "--whitespace=nowarn"]).args(more).arg(&file);
    let done = git.current_dir(tree).env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap()).output().unwrap();
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

#[test]
fn a_patch_of_random_edits_gives_the_edited_tree_and_its_reverse_the_first() {
    let trees = std::env::var("PYRO_PATCH_TREES").map_or(TREES, |text| text.parse().unwrap());
    for seed in 1..=trees {
        let scratch = Scratch::new(&format!("random-{seed}"));
        let ([from, to, copied], _) = random_trees(&scratch, seed);
        let (summary, text, changes) = patch(&from, &to, WHOLE);
        let total = summary.added + summary.modified + summary.deleted + summary.type_changed;
        assert_eq!(total, changes.len() as u64, "seed {seed}");
        if blobs(&from) == blobs(&to) {
            continue;
        }
        for (arguments, wanted) in [(&[][..], &to), (&["-R"][..], &from)] {
            if let Err(error) = apply(&text, &copied, arguments) {
                panic!("seed {seed} {arguments:?}: {error}\n{}", String::from_utf8_lossy(&text));
            }
            assert_eq!(blobs(&copied), blobs(wanted), "seed {seed} {arguments:?}\n{}", String::from_utf8_lossy(&text));
        }
    }
}

fn two_trees(scratch: &Scratch) -> [PathBuf; 2] {
    let trees = ["from", "to"].map(|name| scratch.0.join(name));
    for tree in &trees {
        fs::create_dir(tree).unwrap();
    }
    trees
}

fn git(tree: &Path, arguments: &[&str]) {
    let who = ["-c", "user.name=x", "-c", "user.email=x@x.test", "-c", "init.defaultBranch=main"];
    let done = Command::new("git").args(who).args(arguments).current_dir(tree).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_git_cannot_have_is_told_of_and_hides_nothing_else() {
    let scratch = Scratch::new("lost");
    let [from, to] = two_trees(&scratch);
    fs::write(from.join("kept"), "one\n").unwrap();
    fs::write(from.join("secret"), "s\n").unwrap();
    fs::set_permissions(from.join("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    copy(&from.join("."), &to);
    fs::write(to.join("kept"), "two\n").unwrap();
    fs::set_permissions(to.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(to.join("empty")).unwrap();
    fs::hard_link(to.join("kept"), to.join("further name")).unwrap();
    assert!(Command::new("mkfifo").arg(to.join("pipe")).status().unwrap().success());
    fs::write(to.join("image"), b"\0\x01").unwrap();
    fs::write(to.join("large"), vec![b'x'; 5 << 20]).unwrap();
    fs::create_dir(to.join(".GIT")).unwrap();
    fs::write(to.join(".GIT/config"), "x").unwrap();
    let (summary, text, changes) = patch(&from, &to, Options { include_binary: false, ..WHOLE });
    let remarks: Vec<String> = String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| line.strip_prefix("# pyro: not in this patch: ").map(str::to_owned))
        .collect();
    let expected = [
        "\".GIT\": name",
        "\"empty\": empty directory",
        "\"further name\": hard link",
        "\"image\": binary, 0 to 2 bytes",
        "\"large\": large, 0 to 5242880 bytes",
        "\"pipe\": special file",
        "\"secret\": mode",
    ];
    for line in expected {
        assert!(remarks.iter().any(|remark| remark == line), "{line} in {remarks:?}");
    }
    assert_eq!((summary.added, summary.modified, summary.text_patched), (7, 2, 2), "{changes:?}");
    copy(&from, &scratch.0.join("copied"));
    apply(&text, &scratch.0.join("copied"), &[]).unwrap();
    assert_eq!(fs::read(scratch.0.join("copied/kept")).unwrap(), b"two\n");
}

#[test]
fn what_git_ignores_is_counted_unless_it_has_taken_it_in_or_it_is_asked_for() {
    let scratch = Scratch::new("ignored");
    let [from, to] = two_trees(&scratch);
    git(&from, &["init", "-q"]);
    fs::create_dir_all(from.join("build")).unwrap();
    fs::write(from.join(".gitignore"), "*.log\nbuild/\nnode_modules/\n").unwrap();
    fs::write(from.join("build/taken-in"), "one\n").unwrap();
    git(&from, &["add", "-f", "."]);
    git(&from, &["commit", "-q", "-m", "first"]);
    copy(&from.join("."), &to);
    fs::write(to.join("build/taken-in"), "two\n").unwrap();
    fs::write(to.join("build/made"), "x\n").unwrap();
    fs::write(to.join("a.log"), "x\n").unwrap();
    fs::create_dir_all(to.join("node_modules/a/b")).unwrap();
    (0..20).for_each(|at| fs::write(to.join(format!("node_modules/a/b/{at}")), "x").unwrap());
    git(&to, &["commit", "-q", "-a", "-m", "second"]);
    let (summary, text, changes) = patch(&from, &to, Options { include_ignored: false, ..WHOLE });
    let paths: Vec<&[u8]> = changes.iter().map(|change| change.path.as_slice()).collect();
    assert_eq!((paths, summary.ignored), (vec![&b"build/taken-in"[..]], 3), "{}", String::from_utf8_lossy(&text));
    assert!(summary.heads[0].is_some() && summary.heads[1].is_some() && summary.heads[0] != summary.heads[1]);
    apply(&text, &from, &["--check"]).unwrap();
    let (summary, ..) = patch(&from, &to, WHOLE);
    assert_eq!((summary.added, summary.modified, summary.ignored), (22, 1, 0));
}
