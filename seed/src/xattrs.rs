//! Extended attributes: reading them of what is open, and of what is only named.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::Errno;

use crate::stream::MAX_XATTR_BYTES;

/// Most bytes of the names of a file's extended attributes (XATTR_LIST_MAX).
const MAX_NAMES_BYTES: usize = 64 << 10;
/// What nearly every file's names have room in, in bytes.
const FEW_NAMES_BYTES: usize = 256;
/// Labels that the host's security modules gave, which mean nothing in a guest.
const HOST_LABELS: [&[u8]; 6] = [
    b"security.selinux",
    b"security.apparmor",
    b"security.ima",
    b"security.evm",
    b"security.SMACK64",
    b"security.SMACK64EXEC",
];

/// Names with values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Whether a tree keeps it elsewhere: of the system's own only access lists, which every Linux file system has in one form.
#[must_use]
pub fn is_carried(name: &[u8]) -> bool {
    let is_list = name == b"system.posix_acl_access" || name == b"system.posix_acl_default";
    !name.is_empty() && !HOST_LABELS.contains(&name) && (is_list || !name.starts_with(b"system."))
}

/// Those of an open file or directory that are wanted, by name.
///
/// # Errors
/// What flistxattr(2) and fgetxattr(2) say.
pub fn of_open(file: &impl AsFd, is_wanted: impl Fn(&[u8]) -> bool) -> Result<Xattrs, Errno> {
    let list = names(|into| flistxattr(file, into))?;
    values(&list, is_wanted, |name, value| fgetxattr(file, name, value))
}

/// Those of a directory's entry, whatever it is, that are wanted, by name.
///
/// # Errors
/// What llistxattr(2) and lgetxattr(2) say.
pub fn of_entry(directory: BorrowedFd<'_>, entry: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Result<Xattrs, Errno> {
    let path = through_proc(directory, entry);
    let list = names(|into| llistxattr(path.as_slice(), into))?;
    values(&list, is_wanted, |name, value| lgetxattr(path.as_slice(), name, value))
}

/// All names, as `list` writes them, each with a NUL behind it; none where the file system has none.
///
/// # Errors
/// What `list` says.
pub fn names(list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut names = vec![0; FEW_NAMES_BYTES];
    let length = match list(&mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(Errno::RANGE) => {
            names.resize(MAX_NAMES_BYTES, 0);
            list(&mut names)?
        }
        Err(errno) => return Err(errno),
    };
    names.truncate(length);
    Ok(names)
}

/// A path that leads to an entry of an open directory, for calls that take no descriptor.
#[must_use]
pub fn through_proc(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat()
}

fn values(
    names: &[u8],
    is_wanted: impl Fn(&[u8]) -> bool,
    get: impl Fn(&CStr, &mut [u8]) -> Result<usize, Errno>,
) -> Result<Xattrs, Errno> {
    let mut found = Vec::new();
    for name in names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        if !is_wanted(name.to_bytes()) {
            continue;
        }
        let mut value = vec![0; MAX_XATTR_BYTES];
        match get(name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_bytes().to_vec(), value));
            }
            // Listed for everybody, readable for some (trusted.*); gone meanwhile, which the times tell.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    found.sort_unstable();
    Ok(found)
}
