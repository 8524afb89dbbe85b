//! What is in a directory.

use std::ffi::CString;
use std::os::fd::BorrowedFd;

use rustix::fs::Dir;
use rustix::io::Errno;

/// The names in a directory without its own two, sorted by their bytes: the same tree is gone through in the same order.
///
/// # Errors
/// What the file system says.
pub fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn names_are_bytes_in_their_order_and_the_directorys_own_are_none_of_them() {
        let root = std::env::temp_dir().join(format!("pyro-names-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("a")).unwrap();
        for name in [&b"a.txt"[..], b"\xff", b".b", b"..c", b"B"] {
            fs::write(root.join(OsStr::from_bytes(name)), "").unwrap();
        }
        let found = names(File::open(&root).unwrap().as_fd()).unwrap();
        let found: Vec<_> = found.iter().map(|name| name.as_bytes()).collect();
        assert_eq!(found, [&b"..c"[..], b".b", b"B", b"a", b"a.txt", b"\xff"]);
        fs::remove_dir_all(root).unwrap();
    }
}
