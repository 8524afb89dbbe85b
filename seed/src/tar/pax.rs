//! Extended headers: `LENGTH KEY=VALUE\n`, as often as needed.

use std::collections::BTreeMap;

use pyro_seed::stream::{MAX_NAME_BYTES, MAX_XATTR_BYTES, MAX_XATTRS};

use super::Refusal;
use super::number::decimal;
use pyro_seed::xattrs::{Xattrs, is_carried};

const XATTR: &[u8] = b"SCHILY.xattr.";

/// Keys with their values, in their order: some of GNU's are repeated.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// `GNU.sparse.offset` and `GNU.sparse.numbytes`, which come in pairs.
    pub(super) sparse_parts: Vec<u64>,
}

impl Records {
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, Refusal> {
        let wrong = || "an extended header is none".to_owned();
        let mut records = Self::default();
        while !data.is_empty() {
            let blank = data.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = decimal(&data[..blank]).and_then(|length| usize::try_from(length).ok()).ok_or_else(wrong)?;
            let record = data.get(blank + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes" {
                records.sparse_parts.push(decimal(value).ok_or_else(wrong)?);
            }
            records.values.insert(key.to_vec(), value.to_vec());
            data = &data[length..];
        }
        Ok(records)
    }

    pub(super) fn extend(&mut self, later: Self) {
        self.values.extend(later.values);
        self.sparse_parts = later.sparse_parts;
    }

    /// How long keys and values are.
    pub(super) fn bytes(&self) -> usize {
        let values = self.values.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        values + self.sparse_parts.len() * size_of::<u64>()
    }

    /// A value; an empty one takes a global one back.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(key) else { return Ok(None) };
        decimal(value).map(Some).ok_or_else(|| "an extended header's number is none".to_owned())
    }

    /// `mtime`, in seconds and nanoseconds; what is finer is dropped.
    pub(super) fn time(&self) -> Result<Option<(i64, u32)>, Refusal> {
        let Some(value) = self.get(b"mtime") else { return Ok(None) };
        parse_time(value).map(Some).ok_or_else(|| "an extended header's time is none".to_owned())
    }

    pub(super) fn xattrs(&self) -> Result<Xattrs, Refusal> {
        let named = self.values.iter().filter_map(|(key, value)| Some((key.strip_prefix(XATTR)?, value)));
        let xattrs: Xattrs =
            named.filter(|(name, _)| is_carried(name)).map(|(name, value)| (name.to_vec(), value.clone())).collect();
        let is_possible = |(name, value): &(Vec<u8>, Vec<u8>)| {
            name.len() <= MAX_NAME_BYTES && !name.contains(&0) && value.len() <= MAX_XATTR_BYTES
        };
        if xattrs.len() <= MAX_XATTRS && xattrs.iter().all(is_possible) {
            Ok(xattrs)
        } else {
            Err("extended attributes that no file can have".to_owned())
        }
    }
}

fn parse_time(value: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, digits) = value.strip_prefix(b"-").map_or((false, value), |digits| (true, digits));
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or(b"0");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |index: usize| u32::from(fraction.get(index).copied().unwrap_or(b'0') - b'0');
    let nanoseconds = (0..9).fold(0, |sum, index| sum * 10 + digit(index));
    Some(match (is_negative, nanoseconds) {
        (false, _) => (whole, nanoseconds),
        (true, 0) => (-whole, 0),
        (true, _) => (-whole - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_with_their_lengths_and_times_below_zero() {
        let records = Records::parse(b"17 path=a\nb=c\nde\n21 mtime=-1.25000001\n").unwrap();
        assert_eq!(records.get(b"path"), Some(&b"a\nb=c\nde"[..]));
        assert_eq!(records.time().unwrap(), Some((-2, 749_999_990)));
        for wrong in [&b"5 a=b"[..], b"6 a=b\nx", b"99 a=b\n", b"x a=b\n", b"6 ab=\r", b"5 ab\n", b" "] {
            assert!(Records::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
