use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use pyro_seed::stream::{Meta, Writer};
use rustix::fs::{FlockOperation, flock};

use super::*;

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pyro-unpack-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(path.join("beside")).unwrap();
    path
}

fn order<'a>(target: &'a Path, only: Option<&'a [u8]>, overwrite: bool) -> Order<'a> {
    Order { target: target.as_os_str().as_bytes(), fresh: b".fresh", only, overwrite, umask: 0o027 }
}

fn made(stream: &[u8], order: &Order<'_>) -> Result<Filled, Problem> {
    unpack(stream, order, &mut Report::silent())
}

fn written(write: impl FnOnce(&mut Writer<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    write(&mut writer);
    writer.end().unwrap();
    bytes
}

fn file(writer: &mut Writer<&mut Vec<u8>>, path: &[u8], mode: u32, content: &[u8]) {
    let meta = Meta { mode, uid: 4242, seconds: 7, nanoseconds: 5, ..Meta::default() };
    writer.file(path, &meta, content.len() as u64).unwrap();
    writer.chunk(0, content).unwrap();
    writer.end_file().unwrap();
}

fn listing(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_file_comes_whole_without_its_setuid_bit_and_its_owner() {
    let root = scratch("file");
    let stream = written(|writer| file(writer, b"name", 0o4755, b"content"));
    let filled = made(&stream, &order(&root.join("target"), Some(b"name"), false));
    assert_eq!(filled.ok().map(|filled| filled.lowered), Some(1));
    let meta = fs::metadata(root.join("target")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o755, 7, 5));
    assert_ne!(meta.uid(), 4242);
    assert_eq!(listing(&root), ["beside", "target"]);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_is_there_is_only_replaced_when_asked_and_a_link_is_not_followed() {
    let root = scratch("overwrite");
    let target = root.join("target");
    symlink(root.join("beside"), &target).unwrap();
    let stream = written(|writer| {
        writer.directory(b"d").unwrap();
        file(writer, b"d/f", 0o644, b"new");
        writer.finished(b"d", &Meta { mode: 0o500, ..Meta::default() }).unwrap();
    });
    assert!(matches!(made(&stream, &order(&target, Some(b"d"), false)), Err(Problem::Exists)));
    assert!(fs::symlink_metadata(&target).unwrap().is_symlink());
    assert!(made(&stream, &order(&target, Some(b"d"), true)).is_ok());
    assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "new");
    assert!(listing(&root.join("beside")).is_empty());
    // And over a directory.
    let stream = written(|writer| file(writer, b"f", 0o600, b"file"));
    assert!(made(&stream, &order(&target, Some(b"f"), true)).is_ok());
    assert_eq!(fs::read_to_string(&target).unwrap(), "file");
    assert_eq!(listing(&root), ["beside", "target"]);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn hostile_streams_leave_nothing_and_reach_nothing() {
    let root = scratch("hostile");
    let outside = root.join("beside");
    let link = |writer: &mut Writer<&mut Vec<u8>>| {
        writer.symlink(b"d", &Meta::default(), outside.as_os_str().as_bytes()).unwrap();
    };
    let streams = [
        written(|writer| {
            link(writer);
            file(writer, b"d/f", 0o644, b"through a link");
        }),
        written(|writer| {
            link(writer);
            writer.directory(b"d").unwrap();
        }),
        written(|writer| {
            link(writer);
            writer.finished(b"d", &Meta { mode: 0o777, ..Meta::default() }).unwrap();
        }),
        written(|writer| {
            link(writer);
            writer.link(b"e", b"d/x").unwrap();
        }),
        written(|writer| {
            file(writer, b"d", 0o644, b"one");
            file(writer, b"d", 0o644, b"two");
        }),
        written(|writer| file(writer, b"../beside/f", 0o644, b"up")),
        written(|writer| file(writer, b"/tmp/pyro-unpack-absolute", 0o644, b"away")),
        written(|writer| writer.link(b"d", b"../beside").unwrap()),
        written(|writer| {
            file(writer, b"d", 0o644, b"one");
            file(writer, b"more", 0o644, b"than was asked for");
        }),
        written(|writer| file(writer, b"other", 0o644, b"than was asked for")),
        written(|_| ()),
        Vec::new(),
    ];
    for (number, stream) in streams.iter().enumerate() {
        let found = made(stream, &order(&root.join("target"), Some(b"d"), false));
        assert!(matches!(found, Err(Problem::Hostile(_))), "stream {number}");
        assert_eq!(listing(&root), ["beside"], "stream {number}");
        assert!(listing(&outside).is_empty(), "stream {number}");
    }
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_a_killed_maker_left_is_removed_and_what_is_being_made_is_not() {
    let root = scratch("discard");
    let root_bytes = root.as_os_str().as_bytes();
    assert_eq!(discard(root_bytes, b".fresh").ok(), Some(Discarded::Gone));
    fs::create_dir_all(root.join(".fresh/d/e")).unwrap();
    fs::write(root.join(".fresh/d/f"), "part").unwrap();
    symlink(root.join("beside"), root.join(".fresh/link")).unwrap();
    let maker = fs::File::open(root.join(".fresh")).unwrap();
    flock(&maker, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(discard(root_bytes, b".fresh").ok(), Some(Discarded::InUse));
    assert!(root.join(".fresh/d/f").exists());
    drop(maker);
    assert_eq!(discard(root_bytes, b".fresh").ok(), Some(Discarded::Gone));
    // What has the name and is no directory is none of ours.
    fs::write(root.join(".file"), "mine").unwrap();
    symlink(root.join("beside"), root.join(".link")).unwrap();
    for name in [&b".file"[..], b".link"] {
        assert_eq!(discard(root_bytes, name).ok(), Some(Discarded::Gone));
    }
    for name in [&b"../beside"[..], b"..", b""] {
        assert!(discard(root_bytes, name).is_err());
    }
    assert_eq!(listing(&root), [".file", ".link", "beside"]);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_directory_of_several_has_what_the_umask_leaves() {
    let root = scratch("umask");
    let stream = written(|writer| {
        file(writer, b"a", 0o666, b"as it was");
        file(writer, b"b", 0o600, b"as it was");
    });
    assert!(made(&stream, &order(&root.join("target"), None, false)).is_ok());
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("target"), mode("target/a"), mode("target/b")), (0o750, 0o666, 0o600));
    fs::remove_dir_all(root).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_cut_or_altered_stream_leaves_the_old_target_or_a_whole_new_one(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        name in prop::collection::vec(any::<u8>().prop_filter("of a name", |byte| !matches!(byte, 0 | b'/')), 1..20)
            .prop_filter("a name", |name| !matches!(name.as_slice(), b"." | b"..")),
    ) {
        let root = scratch("random");
        let target = root.join("target");
        fs::write(&target, "old").unwrap();
        let mut stream = written(|writer| file(writer, &name, 0o644, b"new content"));
        let index = at.index(stream.len());
        if cut { stream.truncate(index) } else { stream[index] = byte }
        let done = made(&stream, &order(&target, Some(&name), true));
        if done.is_err() {
            prop_assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        }
        prop_assert_eq!(listing(&root), ["beside", "target"]);
        fs::remove_dir_all(&root).unwrap();
    }
}
