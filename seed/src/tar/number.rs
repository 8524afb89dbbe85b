//! Numbers as tar writes them.

/// Octal digits between blanks, or a binary number whose first byte has its highest bit set (GNU). None: neither.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    signed(field).and_then(|number| u64::try_from(number).ok())
}

/// The same, below zero too.
pub(super) fn signed(field: &[u8]) -> Option<i64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        return binary(field);
    }
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let digits = field[..end].trim_ascii();
    digits.iter().try_fold(0_i64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, of which the first bit only says that it is one.
fn binary(field: &[u8]) -> Option<i64> {
    let is_negative = field[0] == 0xff;
    let first = if is_negative { -1_i64 } else { i64::from(field[0] & 0x7f) };
    field[1..].iter().try_fold(first, |number, byte| number.checked_mul(256)?.checked_add(i64::from(*byte)))
}

/// Decimal digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if is_plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_binary_numbers_are_read_and_others_are_not() {
        assert_eq!(unsigned(b"0000644\0"), Some(0o644));
        assert_eq!(unsigned(b" 12 \0\0"), Some(10));
        assert_eq!(unsigned(b"\0\0\0"), Some(0));
        assert_eq!(unsigned(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(signed(&[0xff; 12]), Some(-1));
        for wrong in
            [&b"8"[..], b"-1", b"0x1", b"1 2", &[0xff; 12], &[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(unsigned(wrong), None, "{wrong:?}");
        }
    }
}
