//! Names as git writes them: a line has one name, whatever bytes it is made of.

/// The name as it is, or in double quotes with escapes of C (git's quote_c_style): git takes both, and no byte of a name
/// ends a line or reaches a terminal.
pub(super) fn name(name: &[u8]) -> Vec<u8> {
    // In a header without quotes git takes a blank before a slash for the end of a name, also of its own making.
    let is_clear = !name.windows(2).any(|pair| pair == b" /");
    if is_clear && name.iter().all(|byte| is_plain(*byte)) { name.to_vec() } else { quoted(name) }
}

/// The same, to be shown.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(&name(path)).into_owned()
}

/// The name in double quotes, also a plain one.
pub(super) fn quoted(name: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in name {
        let letter = match byte {
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => *byte,
            _ if is_plain(*byte) => {
                text.push(*byte);
                continue;
            }
            _ => {
                text.extend(format!("\\{byte:03o}").bytes());
                continue;
            }
        };
        text.extend([b'\\', letter]);
    }
    text.push(b'"');
    text
}

fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_git_does() {
        assert_eq!(name(b"a/plain name"), b"a/plain name");
        assert_eq!(name(b"a/tab\tand\"quote\\"), br#""a/tab\tand\"quote\\""#);
        assert_eq!(name(b"a/\x1b[31m\xff\n"), br#""a/\033[31m\377\n""#);
        assert_eq!(name(b"a/blank /x"), br#""a/blank /x""#);
        assert_eq!(quoted(b"plain"), br#""plain""#);
    }
}
