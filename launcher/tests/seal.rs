//! Sealed copies: the same bytes and holes, and nobody can alter them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Child, Command, Stdio};

const LENGTH: u64 = 64 * 1024 * 1024;

fn seal(paths: &[&str]) -> (Child, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyro-launch"));
    for path in paths {
        command.args(["--seal", path]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let copies = line.split_whitespace().map(|number| format!("/proc/{}/fd/{number}", child.id())).collect();
    (child, copies)
}

#[test]
fn a_sealed_copy_is_the_file_and_stays_it() {
    let path = std::env::temp_dir().join(format!("pyro-seal-{}", std::process::id()));
    let mut original = File::create(&path).unwrap();
    original.write_all(b"begin").unwrap();
    original.set_len(LENGTH).unwrap();
    original.write_all_at(&[7; 100_000], 30_000_001).unwrap();
    // Zeros that take room, as a memory file mapped in huge pages has them.
    original.write_all_at(&vec![0; 8 << 20], 40 << 20).unwrap();
    let path_text = path.to_str().unwrap();
    let (mut child, copies) = seal(&[path_text, path_text]);
    assert_eq!(copies.len(), 2);
    let copy = OpenOptions::new().read(true).write(true).open(&copies[0]).unwrap();
    let metadata = copy.metadata().unwrap();
    assert_eq!(metadata.len(), LENGTH);
    assert!(metadata.blocks() * 512 < 1024 * 1024, "holes stay holes: {} blocks", metadata.blocks());
    assert_eq!(fs::read(&path).unwrap(), fs::read(&copies[0]).unwrap());
    assert!(copy.write_at(b"x", 0).is_err() && copy.set_len(1).is_err() && copy.set_len(2 * LENGTH).is_err());
    // SAFETY: a mapping that must not come to be.
    let mapped = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, copy.as_raw_fd(), 0)
    };
    assert_eq!(mapped, libc::MAP_FAILED);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success(), "it ends with its standard input");
    assert_eq!(copy.read_at(&mut [0; 5], 0).unwrap(), 5, "who has opened it still has it");
    fs::remove_file(path).unwrap();
}

#[test]
fn what_cannot_be_sealed_is_named() {
    assert_eq!(failed("/nowhere"), "pyro-launch: seal /nowhere: No such file or directory\n");
    assert_eq!(failed("/dev/null"), "pyro-launch: seal /dev/null: not a file\n");
}

fn failed(path: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pyro-launch")).args(["--seal", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(71));
    String::from_utf8(output.stderr).unwrap()
}
