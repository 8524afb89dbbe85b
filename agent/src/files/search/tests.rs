use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ignore::WalkBuilder;
use proptest::prelude::*;
use rustix::process::{Resource, Rlimit};

use super::*;

fn scratch(name: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("pyro-search-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    root
}

fn search_at(root: &Path, search: &Search) -> Result<Found, FilesError> {
    search_in(File::open(root).unwrap().as_fd(), search)
}

fn texts(found: &Found) -> Vec<String> {
    let line = |each: &Line| {
        let mark = if each.is_context { '-' } else { ':' };
        let (path, text) = (String::from_utf8_lossy(&each.path), String::from_utf8_lossy(&each.text));
        format!("{path}{mark}{}{mark}{text}", each.number)
    };
    found.lines.iter().map(line).collect()
}

#[test]
fn ripgreps_rules_hold() {
    let root = scratch("rules");
    fs::create_dir_all(root.join("src/deep")).unwrap();
    fs::create_dir_all(root.join(".git")).unwrap();
    for (path, content) in [
        (".gitignore", "*.log\n"),
        ("a.log", "needle\n"),
        (".hidden", "needle\n"),
        ("binary", "needle\0\n"),
        ("src/one.rs", "before\nfn Needle() {}\r\nafter\n"),
        ("src/deep/two.txt", "a needle\nneedle again"),
    ] {
        fs::write(root.join(path), content).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    let search = |change: &dyn Fn(&mut Search)| {
        let mut search = Search { pattern: "needle".to_owned(), limit: 100, ..Search::default() };
        change(&mut search);
        search_at(&root, &search)
    };
    let found = search(&|_| ()).unwrap();
    assert_eq!(texts(&found), ["src/deep/two.txt:1:a needle", "src/deep/two.txt:2:needle again"]);
    assert_eq!((found.binary, found.more), (1, false));
    let found = search(&|search| (search.ignore_case, search.before, search.after) = (true, 1, 1)).unwrap();
    assert_eq!(texts(&found)[2..], ["src/one.rs-1-before", "src/one.rs:2:fn Needle() {}", "src/one.rs-3-after"]);
    let found = search(&|search| search.all = true).unwrap();
    assert_eq!(texts(&found).len(), 4, "{:?}", texts(&found));
    let found = search(&|search| search.globs = vec!["*.rs".to_owned()]).unwrap();
    assert!(found.lines.is_empty() && found.files == 1);
    let found = search(&|search| search.limit = 1).unwrap();
    assert_eq!((texts(&found).len(), found.more), (1, true));
    let found = search(&|search| search.path = b"src/deep/two.txt".to_vec()).unwrap();
    assert_eq!(texts(&found).len(), 2);
    let found = search(&|search| (search.pattern, search.fixed) = ("Needle() {".to_owned(), true)).unwrap();
    assert_eq!(texts(&found), ["src/one.rs:2:fn Needle() {}"]);
    for pattern in ["(", "a\\nb", "x{1000000}{1000000}"] {
        assert!(
            matches!(search(&|search| search.pattern = pattern.to_owned()), Err(FilesError::Invalid(_))),
            "{pattern}"
        );
    }
    let long = format!("needle {}\n", "x".repeat(5000));
    fs::write(root.join("long"), long).unwrap();
    let found = search(&|search| search.path = b"long".to_vec()).unwrap();
    assert!(found.lines[0].is_cut && found.lines[0].text.len() == MAX_TEXT_BYTES);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn files_below_any_number_of_directories_are_searched() {
    const DEPTH: usize = 3000;
    // Each is open while what is in it is gone through.
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let root = scratch("deep");
    let script = format!(
        r#"for (1..{DEPTH}) {{ mkdir "d"; chdir "d" or die $! }} open F, ">", "leaf"; print F "needle\n"; close F;
           open F, ">", ".gitignore"; print F "*.log\n"; close F; open F, ">", "a.log"; print F "needle\n""#
    );
    assert!(Command::new("perl").args(["-e", &script]).current_dir(&root).status().unwrap().success());
    let search = Search { pattern: "needle".to_owned(), limit: 10, ..Search::default() };
    let leaf = format!("{}leaf", "d/".repeat(DEPTH));
    let found = search_at(&root, &search).unwrap();
    assert_eq!((texts(&found), found.files), (vec![format!("{leaf}:1:needle")], 1));
    for path in [leaf.as_str(), "d", leaf.trim_end_matches("/leaf")] {
        let found = search_at(&root, &Search { path: path.into(), ..search.clone() }).unwrap();
        assert_eq!(found.lines.len(), 1, "{}", path.len());
    }
    assert!(Command::new("rm").arg("-rf").arg(&root).status().unwrap().success());
}

#[test]
fn what_is_no_file_is_neither_opened_nor_followed_nor_waited_for() {
    let root = scratch("kinds");
    let outside = scratch("outside");
    fs::write(outside.join("file"), "needle\n").unwrap();
    fs::write(outside.join("patterns"), "file\n").unwrap();
    fs::write(root.join("file"), "needle\n").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("directory")).unwrap();
    std::os::unix::fs::symlink(outside.join("file"), root.join("link")).unwrap();
    // A pipe that nobody writes to, where a file with patterns would be, and a link there, which git does not follow either.
    assert!(Command::new("mkfifo").args([root.join(".ignore"), root.join("pipe")]).status().unwrap().success());
    std::os::unix::fs::symlink(outside.join("patterns"), root.join(".gitignore")).unwrap();
    let search = Search { pattern: "needle".to_owned(), limit: 10, all: true, ..Search::default() };
    for all in [true, false] {
        let found = search_at(&root, &Search { all, ..search.clone() }).unwrap();
        assert_eq!(texts(&found), ["file:1:needle"]);
    }
    for path in ["link", "directory", "directory/file"] {
        let found = search_at(&root, &Search { path: path.into(), ..search.clone() });
        assert!(matches!(found, Err(FilesError::Conflict(_))), "{path}");
    }
    assert!(search_at(&root, &Search { path: b"pipe".to_vec(), ..search.clone() }).unwrap().lines.is_empty());
    for root in [root, outside] {
        fs::remove_dir_all(root).unwrap();
    }
}

/// What the `ignore` crate itself goes through, whose rules are ripgrep's.
fn files_of_ripgrep(root: &Path, search: &Search) -> Vec<Vec<u8>> {
    let mut wanted = OverrideBuilder::new(root);
    for glob in &search.globs {
        wanted.add(glob).unwrap();
    }
    let walk = WalkBuilder::new(root.join(std::ffi::OsStr::from_bytes(&search.path)))
        .standard_filters(!search.all)
        .hidden(!search.all)
        .git_global(false)
        .parents(!search.path.is_empty() && !search.all)
        .require_git(false)
        .overrides(wanted.build().unwrap())
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .build();
    let files = walk.map(Result::unwrap).filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
    files.map(|entry| entry.path().strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec()).collect()
}

/// Names, and patterns of them.
const NAMES: [&str; 8] = ["a", "b", "ab", ".a", ".hidden", "a.log", "build", "x y"];
const PATTERNS: [&str; 18] = [
    "a", "/a", "a/", "*.log", "!a.log", "!.hidden", "build/", "/build", "a/b", "**/b", "a/**", "!a/**/ab", "[ab]",
    "\\#x", "# x", "x y", "!build/", "*",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_files_are_those_that_ripgrep_searches(
        files in prop::collection::btree_set(prop::collection::vec(0..NAMES.len(), 1..5), 1..25),
        rules in prop::collection::vec((prop::collection::vec(0..NAMES.len(), 0..3), 0..3_usize, prop::collection::vec(0..PATTERNS.len(), 1..4)), 0..5),
        globs in prop::collection::vec(0..PATTERNS.len(), 0..3),
        start in prop::collection::vec(0..NAMES.len(), 0..3),
        all in any::<bool>(),
    ) {
        let root = scratch("random");
        let join = |parts: &[usize]| parts.iter().map(|part| NAMES[*part]).collect::<Vec<_>>().join("/");
        let lines = |patterns: &[usize]| patterns.iter().fold(String::new(), |mut text, each| {
            let _ = writeln!(text, "{}", PATTERNS[*each]);
            text
        });
        for parts in &files {
            // One may be a directory already, or in its place is a file.
            let path = root.join(join(parts));
            if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                let _ = fs::write(path, "needle\n");
            }
        }
        for (parts, kind, patterns) in &rules {
            let path = root.join(join(parts)).join([".ignore", ".gitignore", ".git/info/exclude"][*kind]);
            if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                fs::write(path, lines(patterns)).unwrap();
            }
        }
        let path = join(&start);
        let globs = globs.iter().map(|each| PATTERNS[*each]).filter(|glob| !glob.starts_with('#')).map(str::to_owned).collect();
        let search = Search { pattern: "needle".to_owned(), path: path.clone().into(), globs, all, limit: 1000, ..Search::default() };
        if root.join(&path).exists() {
            let found = search_at(&root, &search).unwrap();
            let wanted = files_of_ripgrep(&root, &search);
            let with_needle = |path: &&Vec<u8>| fs::read(root.join(std::ffi::OsStr::from_bytes(path))).unwrap() == b"needle\n";
            prop_assert_eq!(found.files, wanted.len() as u64);
            let paths: Vec<&Vec<u8>> = found.lines.iter().map(|line| &line.path).collect();
            prop_assert_eq!(paths, wanted.iter().filter(with_needle).collect::<Vec<_>>());
        }
        fs::remove_dir_all(root).unwrap();
    }
}
