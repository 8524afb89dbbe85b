//! Random trees and edits, for tests of diffs and patches.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Edits that make a random tree, and another one of it.
const EDITS: u64 = 25;

/// Xorshift (Marsaglia 2003): the same numbers for the same seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    pub(crate) fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len() as u64) as usize]
    }
}

const NAMES: [&[u8]; 16] = [
    b"a",
    b"b",
    b"c.txt",
    b"with blank",
    b"tab\there",
    b"new\nline",
    b"quote\"",
    b"back\\slash",
    b"\xff\xfe",
    "\u{fc}ber".as_bytes(),
    b" lead",
    b"trail ",
    b"-dash",
    b"x=y",
    b"\x1b[31m",
    b"a b\tc",
];

pub(crate) fn content(numbers: &mut Numbers) -> Vec<u8> {
    let mut text = Vec::new();
    match numbers.below(8) {
        0 => {}
        1 => (0..numbers.below(3000)).for_each(|_| text.push(numbers.below(256) as u8)),
        2 => text.extend(b"one line without an end"),
        3 => text.extend(b"bytes \xff\xfe\r\nthat are no UTF-8 \x0c and a form feed\n"),
        4 => text.extend(b"--- a/looks like a header\n+++ b/x\n@@ -1 +1 @@\ndiff --git a/x b/x\n"),
        _ => (0..numbers.below(60)).for_each(|_| text.extend(format!("line {}\n", numbers.below(12)).bytes())),
    }
    text
}

pub(crate) fn edited(numbers: &mut Numbers, old: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = old.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(lines.len() as u64 + 1) as usize;
        match numbers.below(3) {
            0 if at < lines.len() => drop(lines.remove(at)),
            1 => lines.insert(at, b"put in\n".to_vec()),
            _ if at < lines.len() => lines[at] = b"changed, with no end".to_vec(),
            _ => lines.push(b"at the end".to_vec()),
        }
    }
    lines.concat()
}

fn name(numbers: &mut Numbers) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(numbers.of(&NAMES).to_vec()))
}

/// Everything below a directory, itself first.
pub(crate) fn paths(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.to_owned()];
    let mut at = 0;
    while at < all.len() {
        if fs::symlink_metadata(&all[at]).unwrap().is_dir() {
            let mut inner: Vec<PathBuf> = fs::read_dir(&all[at]).unwrap().map(|entry| entry.unwrap().path()).collect();
            inner.sort();
            all.extend(inner);
        }
        at += 1;
    }
    all
}

pub(crate) fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

pub(crate) fn edit(numbers: &mut Numbers, root: &Path) {
    let all = paths(root);
    let chosen = numbers.of(&all).clone();
    let kind = fs::symlink_metadata(&chosen).unwrap().file_type();
    if kind.is_dir() {
        let inner = chosen.join(name(numbers));
        match numbers.below(6) {
            0 if chosen != root => remove(&chosen),
            1 if chosen != root => {
                let target = root.join(name(numbers));
                if !target.starts_with(&chosen) && !chosen.starts_with(&target) {
                    remove(&target);
                    fs::rename(&chosen, target).unwrap();
                }
            }
            2 if chosen != root => {
                remove(&chosen);
                fs::write(&chosen, content(numbers)).unwrap();
            }
            3 => {
                remove(&inner);
                symlink("../somewhere else\nover lines", inner).unwrap();
            }
            4 => {
                remove(&inner);
                fs::create_dir(&inner).unwrap();
                fs::write(inner.join(name(numbers)), content(numbers)).unwrap();
            }
            _ => {
                remove(&inner);
                fs::write(inner, content(numbers)).unwrap();
            }
        }
        return;
    }
    match numbers.below(7) {
        0 => remove(&chosen),
        1 => {
            let target = chosen.parent().unwrap().join(name(numbers));
            if target != chosen {
                remove(&target);
                fs::rename(&chosen, target).unwrap();
            }
        }
        2 if kind.is_file() => {
            let mode = fs::metadata(&chosen).unwrap().permissions().mode() ^ 0o111;
            fs::set_permissions(&chosen, fs::Permissions::from_mode(mode)).unwrap();
        }
        3 => {
            remove(&chosen);
            symlink("target", &chosen).unwrap();
        }
        4 => {
            remove(&chosen);
            fs::create_dir(&chosen).unwrap();
            fs::write(chosen.join("inner"), content(numbers)).unwrap();
        }
        _ if kind.is_file() => {
            let old = fs::read(&chosen).unwrap();
            fs::write(&chosen, edited(numbers, &old)).unwrap();
        }
        _ => {}
    }
}

/// What git has of a tree: each file's and link's path, mode and content.
pub(crate) fn blobs(root: &Path) -> Vec<(Vec<u8>, &'static str, Vec<u8>)> {
    let mut found = Vec::new();
    for path in paths(root) {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        if meta.is_symlink() {
            found.push((name, "link", fs::read_link(&path).unwrap().into_os_string().into_vec()));
        } else if meta.is_file() {
            let mode = if meta.permissions().mode() & 0o100 == 0 { "file" } else { "executable" };
            found.push((name, mode, fs::read(&path).unwrap()));
        }
    }
    found
}

/// What git has no word for stands in its way where a file takes the place of a directory.
pub(crate) fn remove_empty(root: &Path) {
    for path in paths(root).iter().skip(1).rev() {
        // Any other one stays.
        let _ = fs::remove_dir(path);
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// A directory that is gone when the test is over.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pyro-patch-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two random trees, the second made of the first, and a copy of the first without empty directories, for which git has no word. Also what goes
/// on from the numbers that they are made by.
pub(crate) fn random_trees(scratch: &Scratch, seed: u64) -> ([PathBuf; 3], Numbers) {
    let [from, to, copied] = ["from", "to", "copied"].map(|name| scratch.0.join(name));
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    fs::create_dir(&from).unwrap();
    (0..EDITS).for_each(|_| edit(&mut numbers, &from));
    copy(&from, &to);
    (0..EDITS).for_each(|_| edit(&mut numbers, &to));
    copy(&from, &copied);
    remove_empty(&copied);
    ([from, to, copied], numbers)
}
