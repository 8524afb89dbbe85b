//! Searching text, with ripgrep's own parts and its rules: what git ignores, what is hidden and what is binary is left out.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;
use pyro_seed::places::Places;
use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use super::{FilesError, checked};
use crate::volume::Volume;

/// Longest line that is given, in bytes.
const MAX_TEXT_BYTES: usize = 2000;
/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most memory for one line: a longer one is not looked through.
const HEAP_BYTES: usize = 16 << 20;
/// Most memory for a regular expression.
const REGEX_BYTES: usize = 16 << 20;
/// After so long what was found is all that is given.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What is looked for, and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    /// A regular expression, or a text.
    pub(crate) pattern: String,
    /// A file or directory.
    pub(crate) path: Vec<u8>,
    /// Files that are wanted, as in a .gitignore; with `!` those that are not.
    pub(crate) globs: Vec<String>,
    /// Upper and lower case are the same.
    pub(crate) ignore_case: bool,
    /// `pattern` is a text.
    pub(crate) fixed: bool,
    /// Also what git ignores and what is hidden.
    pub(crate) all: bool,
    /// Lines around a match that are given too.
    pub(crate) before: usize,
    /// As `before`.
    pub(crate) after: usize,
    /// Matching lines at most.
    pub(crate) limit: usize,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// From the workspace.
    pub(crate) path: Vec<u8>,
    /// From 1.
    pub(crate) number: u64,
    /// Without its end.
    pub(crate) text: Vec<u8>,
    /// It is only near a match.
    pub(crate) is_context: bool,
    /// There is more of it.
    pub(crate) is_cut: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// File by file, in the order of their paths.
    pub(crate) lines: Vec<Line>,
    /// There is more.
    pub(crate) more: bool,
    /// Files that were looked through.
    pub(crate) files: u64,
    /// Files that were not, to their end: they are binary.
    pub(crate) binary: u64,
    matches: usize,
    bytes: usize,
}

/// Searches files of the workspace.
///
/// # Errors
/// [`FilesError::Invalid`] for a pattern or glob that is none; else as [`FilesError`].
pub(crate) fn search(volume: &Volume, search: &Search) -> Result<Found, FilesError> {
    let path = checked(&search.path)?;
    let workspace = volume.workspace_directory()?;
    if !path.is_empty() {
        let found = |errno| FilesError::of("search", path, errno);
        let mut places = Places::new(workspace.as_fd());
        let (parent, name) = places.parent(path).map_err(found)?;
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(found)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(FilesError::of("search", path, Errno::LOOP));
        }
    }
    // By its descriptor: the volume is mounted where no path of this process leads any more.
    search_in(Path::new(&format!("/proc/self/fd/{}/.", workspace.as_raw_fd())), search)
}

fn search_in(root: &Path, search: &Search) -> Result<Found, FilesError> {
    let invalid = |error: &dyn std::fmt::Display| FilesError::Invalid(format!("{}: {error}", search.pattern));
    let matcher = RegexMatcherBuilder::new()
        .case_insensitive(search.ignore_case)
        .fixed_strings(search.fixed)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .line_terminator(Some(b'\n'))
        .build(&search.pattern)
        .map_err(|error| invalid(&error))?;
    let mut overrides = OverrideBuilder::new(root);
    for glob in &search.globs {
        overrides.add(glob).map_err(|error| FilesError::Invalid(error.to_string()))?;
    }
    let overrides = overrides.build().map_err(|error| FilesError::Invalid(error.to_string()))?;
    let start = root.join(std::ffi::OsStr::from_bytes(&search.path));
    let walk = WalkBuilder::new(start)
        .standard_filters(!search.all)
        .hidden(!search.all)
        .git_global(false)
        // What lies above the workspace is nobody's business here.
        .parents(!search.path.is_empty() && !search.all)
        .require_git(false)
        .overrides(overrides)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .build();
    let mut searcher = SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .line_number(true)
        .before_context(search.before)
        .after_context(search.after)
        .heap_limit(Some(HEAP_BYTES))
        .build();
    let mut found = Found::default();
    let until = Instant::now() + TIME_LIMIT;
    for entry in walk {
        // One that cannot be read, or has gone: there is nothing to find in it.
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        if found.more || Instant::now() > until {
            found.more = true;
            break;
        }
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).as_os_str().as_bytes().to_vec();
        search_file(&mut searcher, &matcher, &entry, Collector { path, search, found: &mut found });
    }
    Ok(found)
}

fn search_file(
    searcher: &mut Searcher,
    matcher: &RegexMatcher,
    entry: &ignore::DirEntry,
    mut collector: Collector<'_>,
) {
    collector.found.files += 1;
    if searcher.search_path(matcher, entry.path(), &mut collector).is_err() {
        // A line that is longer than what there is memory for, or a file that has gone.
        collector.found.binary += 1;
    }
}

struct Collector<'a> {
    path: Vec<u8>,
    search: &'a Search,
    found: &'a mut Found,
}

impl Collector<'_> {
    /// Whether more is wanted.
    fn take(&mut self, number: Option<u64>, text: &[u8], is_context: bool) -> bool {
        let found = &mut *self.found;
        if found.bytes >= MAX_ANSWER_BYTES || !is_context && found.matches == self.search.limit {
            found.more = true;
            return false;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let kept = &text[..text.len().min(MAX_TEXT_BYTES)];
        found.matches += usize::from(!is_context);
        found.bytes += self.path.len() + kept.len();
        found.lines.push(Line {
            path: self.path.clone(),
            number: number.unwrap_or(0),
            text: kept.to_vec(),
            is_context,
            is_cut: kept.len() < text.len(),
        });
        true
    }
}

impl Sink for Collector<'_> {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        Ok(self.take(found.line_number(), found.bytes(), false))
    }

    fn context(&mut self, _searcher: &Searcher, context: &SinkContext<'_>) -> Result<bool, io::Error> {
        Ok(self.take(context.line_number(), context.bytes(), true))
    }

    fn finish(&mut self, _searcher: &Searcher, finish: &SinkFinish) -> Result<(), io::Error> {
        self.found.binary += u64::from(finish.binary_byte_offset().is_some());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
        let root = std::env::temp_dir().join(format!("pyro-search-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
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
            search_in(&root, &search)
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
}
