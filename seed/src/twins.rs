//! Names that a file system takes for one: it ignores case, or how an accent is written.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use pyro_seed::names::names;
use pyro_seed::places::Places;
use rustix::fs::{AtFlags, statat};

/// The path that is there under another name when `path` cannot be made below `root` for being there; none where it is there under its own.
pub(crate) fn twin(root: BorrowedFd<'_>, path: &[u8]) -> Option<Vec<u8>> {
    let mut places = Places::new(root);
    let (directory, name) = places.parent(path).ok()?;
    let wanted = CString::new(name).ok()?;
    let there = names(directory).ok()?;
    if there.contains(&wanted) {
        return None;
    }
    let found = there.iter().find(|each| is_same(directory, each, &wanted));
    let found = found.or_else(|| there.iter().find(|each| folded(each) == folded(&wanted)))?;
    Some([&path[..path.len() - name.len()], found.as_bytes()].concat())
}

/// Whether both names lead to one file or directory.
fn is_same(directory: BorrowedFd<'_>, one: &CStr, other: &CStr) -> bool {
    let identity =
        |name| statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| (stat.st_dev, stat.st_ino));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn folded(name: &CStr) -> String {
    String::from_utf8_lossy(name.to_bytes()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_name_that_is_there_in_other_letters_is_found() {
        let root = std::env::temp_dir().join(format!("pyro-twins-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("Sub")).unwrap();
        for name in ["Sub/ReadMe", "Sub/other", "\u{c4}"] {
            fs::write(root.join(name), "").unwrap();
        }
        let directory = File::open(&root).unwrap();
        let twin = |path: &str| twin(directory.as_fd(), path.as_bytes()).map(|path| String::from_utf8(path).unwrap());
        assert_eq!(twin("Sub/README").as_deref(), Some("Sub/ReadMe"));
        assert_eq!(twin("sub").as_deref(), Some("Sub"));
        assert_eq!(twin("\u{e4}").as_deref(), Some("\u{c4}"));
        assert_eq!((twin("Sub/ReadMe"), twin("Sub/none"), twin("none/x")), (None, None, None));
        fs::remove_dir_all(root).unwrap();
    }
}
