//! Names of files as patches have them.

use pyro_seed::stream::is_plain;

/// A name in double quotes with escapes of C, as git writes it, and what comes behind it.
pub(super) fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (letter, after) = rest.split_first()?;
                rest = after;
                name.push(match letter {
                    b'a' => 0x07,
                    b'b' => 0x08,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 0x0b,
                    b'f' => 0x0c,
                    b'r' => b'\r',
                    b'"' | b'\\' => *letter,
                    b'0'..=b'3' => {
                        let digits = rest.get(..2)?;
                        rest = &rest[2..];
                        digits.iter().try_fold(letter - b'0', |value, digit| match digit {
                            b'0'..=b'7' => Some(value << 3 | (digit - b'0')),
                            _ => None,
                        })?
                    }
                    _ => return None,
                });
            }
            _ => name.push(*byte),
        }
    }
}

/// The name behind `rename from` and the like.
pub(super) fn whole(text: &[u8]) -> Option<Vec<u8>> {
    if text.starts_with(b"\"") { unquote(text).map(|(name, _)| name) } else { Some(text.to_vec()) }
}

/// The name behind `---` or `+++`, and whether the time behind it says that there is no such file.
pub(super) fn dated(text: &[u8]) -> Option<(Vec<u8>, bool)> {
    if text.starts_with(b"\"") {
        let (name, rest) = unquote(text)?;
        return Some((name, is_epoch(rest.trim_ascii())));
    }
    if let Some(tab) = memchr::memchr(b'\t', text) {
        return Some((text[..tab].to_vec(), is_epoch(text[tab + 1..].trim_ascii())));
    }
    // Tools that put a blank in front of the time: "2026-11-24 00:24:35".
    let is_date = |at: usize| date_at(&text[at..]).is_some();
    let blank = (0..text.len()).find(|at| text[*at] == b' ' && is_date(at + 1));
    Some(match blank {
        Some(blank) => (text[..blank].to_vec(), is_epoch(text[blank + 1..].trim_ascii())),
        None => (text.to_vec(), false),
    })
}

/// Whether this is the name of no file.
pub(super) fn is_null(name: &[u8]) -> bool {
    name == b"/dev/null"
}

/// The one name that both names of a `diff --git` line are without their first parts.
pub(super) fn of_pair(text: &[u8], strip: u32) -> Option<Vec<u8>> {
    let same = |first: &[u8], second: &[u8]| {
        let (first, second) = (without_first(first, strip)?, without_first(second, strip)?);
        (first == second).then(|| first.to_vec())
    };
    if text.starts_with(b"\"") {
        let (first, rest) = unquote(text)?;
        return same(&first, &whole(rest.strip_prefix(b" ")?)?);
    }
    if let Some(quote) = memchr::memmem::find(text, b" \"") {
        return same(&text[..quote], &unquote(&text[quote + 1..])?.0);
    }
    memchr::memchr_iter(b' ', text).find_map(|blank| same(&text[..blank], &text[blank + 1..]))
}

/// A name without its first `count` parts.
pub(super) fn without_first(name: &[u8], count: u32) -> Option<&[u8]> {
    let mut rest = name;
    for _ in 0..count {
        let slash = memchr::memchr(b'/', rest)?;
        rest = &rest[slash + 1..];
        while let Some(more) = rest.strip_prefix(b"/") {
            rest = more;
        }
    }
    (!rest.is_empty()).then_some(rest)
}

/// Why a patch may not have a file of this name, which is from the workspace.
pub(super) fn refusal(name: &[u8]) -> Option<&'static str> {
    if !is_plain(name) {
        return Some("is no path below the workspace");
    }
    let is_git = |part: &[u8]| part.eq_ignore_ascii_case(b".git");
    name.split(|byte| *byte == b'/').any(is_git).then_some("is in a git repository's own directory")
}

/// Minutes of the day that `date time zone` is, from the Unix epoch, and whether it is exactly a minute.
fn is_epoch(text: &[u8]) -> bool {
    let Some((days, rest)) = date_at(text) else { return false };
    let number = |at: usize| digits(rest.get(at..at + 2)?);
    let parse = || {
        let [hours, minutes, seconds] = [number(1)?, number(4)?, number(7)?];
        let mut zone = rest.get(9..)?;
        if let Some(fraction) = zone.strip_prefix(b".") {
            zone = &fraction[fraction.iter().take_while(|byte| **byte == b'0').count()..];
        }
        let zone = zone.trim_ascii();
        let (sign, zone) = zone.split_first()?;
        let zone: Vec<u8> = zone.iter().copied().filter(|byte| *byte != b':').collect();
        let ahead = digits(zone.get(..2)?)? * 60 + digits(zone.get(2..4)?)?;
        let ahead = if *sign == b'-' { -ahead } else { ahead };
        Some(seconds == 0 && zone.len() == 4 && days * 1440 + hours * 60 + minutes == ahead)
    };
    parse().unwrap_or(false)
}

/// The day at the beginning of `text`, where that is a date with a time behind it: days from the Unix epoch for the two days
/// that the epoch is in somewhere, otherwise many.
fn date_at(text: &[u8]) -> Option<(i64, &[u8])> {
    let form = text.get(..16)?;
    let fits = form.iter().zip(b"0000-00-00 00:00").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    });
    let days = match &form[..10] {
        b"1970-01-01" => 0,
        b"1969-12-31" => -1,
        _ => i64::from(i32::MAX),
    };
    fits.then_some((days, &text[10..]))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_names_are_what_git_quoted() {
        let (name, rest) = unquote(br#""a/\033[31m\377\n\t\"\\x" b"#).unwrap();
        assert_eq!((name.as_slice(), rest), (&b"a/\x1b[31m\xff\n\t\"\\x"[..], &b" b"[..]));
        for text in [&br#""open"#[..], br#""\q""#, br#""\4""#, br#""\39a""#, b"plain", b"\""] {
            assert!(unquote(text).is_none(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_time_behind_a_name_is_none_of_it() {
        let of = |text: &str| dated(text.as_bytes()).map(|(name, gone)| (String::from_utf8(name).unwrap(), gone));
        let is = |name: &str, gone| Some((name.to_owned(), gone));
        assert_eq!(of("a/x"), is("a/x", false));
        assert_eq!(of("a/x y\t"), is("a/x y", false));
        assert_eq!(of("a/x y\t2026-11-24 00:24:35.123456789 +0000"), is("a/x y", false));
        assert_eq!(of("a/x 2026-11-24 00:24:35 +0000"), is("a/x", false));
        assert_eq!(of("a/x\t1970-01-01 00:00:00.000000000 +0000"), is("a/x", true));
        assert_eq!(of("a/x\t1970-01-01 01:00:00.000000000 +0100"), is("a/x", true));
        assert_eq!(of("a/x\t1969-12-31 19:00:00 -0500"), is("a/x", true));
        assert_eq!(of("a/x\t1970-01-01 00:00:01 +0000"), is("a/x", false));
        assert_eq!(of("\"a/\\tx\"\t1970-01-01 00:00:00 +0000"), is("a/\tx", true));
    }

    #[test]
    fn the_name_in_a_git_line_is_the_one_that_both_are() {
        let of = |text: &str, strip| of_pair(text.as_bytes(), strip).map(|name| String::from_utf8(name).unwrap());
        assert_eq!(of("a/x b/x", 1).as_deref(), Some("x"));
        assert_eq!(of("a/x y b/x y", 1).as_deref(), Some("x y"));
        assert_eq!(of("a/b/x b/b/x", 1).as_deref(), Some("b/x"));
        assert_eq!(of("src/x src/x", 0).as_deref(), Some("src/x"));
        assert_eq!(of(r#""a/\tx" "b/\tx""#, 1).as_deref(), Some("\tx"));
        assert_eq!(of(r#"a/x "b/x""#, 1).as_deref(), Some("x"));
        assert_eq!(of("a/x b/y", 1), None);
        assert_eq!(of("x x", 1), None);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in
            [&b".."[..], b"a/../b", b"/etc", b"a//b", b"a/", b".", b"a\0", b".git/hooks/x", b"a/.GIT/config", b""]
        {
            assert!(refusal(name).is_some(), "{}", String::from_utf8_lossy(name));
        }
        for name in [&b".gitignore"[..], b"..a", b"a/\xff\n"] {
            assert!(refusal(name).is_none(), "{}", String::from_utf8_lossy(name));
        }
    }
}
