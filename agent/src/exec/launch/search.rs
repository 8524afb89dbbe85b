//! Which files a program's name may mean, in the order a shell tries them.

use std::ffi::{CStr, CString};

/// Whether the name is looked up in PATH: it has no slash.
pub(super) fn is_searched(program: &CStr) -> bool {
    !program.to_bytes().contains(&b'/')
}

/// The paths to try; an empty element of PATH is the working directory.
pub(super) fn candidates(program: &CStr, search_path: &[u8]) -> Vec<CString> {
    if !is_searched(program) {
        return vec![program.to_owned()];
    }
    let in_directory = |directory: &[u8]| {
        let directory = if directory.is_empty() { b"." } else { directory };
        // Neither part has a NUL: both were C strings in the request.
        CString::new([directory, b"/", program.to_bytes()].concat()).ok()
    };
    search_path.split(|byte| *byte == b':').filter_map(in_directory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_tried_in_every_directory_in_order() {
        assert_eq!(
            candidates(c"sh", b"/bin::/usr/bin"),
            [c"/bin/sh".into(), c"./sh".into(), CString::from(c"/usr/bin/sh")]
        );
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(candidates(c"./sh", b"/bin"), [CString::from(c"./sh")]);
    }
}
