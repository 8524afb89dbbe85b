//! SHA-1 (FIPS 180-4), for git's names of contents and for nothing that must be safe against anybody.

const BLOCK_BYTES: usize = 64;

/// A digest in the making.
pub(crate) struct Sha1 {
    state: [u32; 5],
    block: [u8; BLOCK_BYTES],
    filled: usize,
    bytes: u64,
}

impl Sha1 {
    pub(crate) fn new() -> Self {
        let state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        Self { state, block: [0; BLOCK_BYTES], filled: 0, bytes: 0 }
    }

    pub(crate) fn add(&mut self, mut data: &[u8]) {
        self.bytes += data.len() as u64;
        while !data.is_empty() {
            let taken = data.len().min(BLOCK_BYTES - self.filled);
            self.block[self.filled..self.filled + taken].copy_from_slice(&data[..taken]);
            self.filled += taken;
            data = &data[taken..];
            if self.filled == BLOCK_BYTES {
                self.mix();
                self.filled = 0;
            }
        }
    }

    pub(crate) fn finish(mut self) -> [u8; 20] {
        let bits = self.bytes * 8;
        self.add(&[0x80]);
        while self.filled != BLOCK_BYTES - 8 {
            self.add(&[0]);
        }
        self.add(&bits.to_be_bytes());
        let mut digest = [0; 20];
        for (place, word) in digest.chunks_exact_mut(4).zip(self.state) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    fn mix(&mut self) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(self.block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for at in 16..80 {
            words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = self.state;
        for (at, word) in words.into_iter().enumerate() {
            let (chosen, constant) = match at / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc_u32),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(chosen).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (state, mixed) in self.state.iter_mut().zip([a, b, c, d, e]) {
            *state = state.wrapping_add(mixed);
        }
    }
}

/// A digest of a blob as git names it, in hexadecimal.
pub(crate) fn blob_name(content: &[u8]) -> String {
    let mut digest = blob(content.len() as u64);
    digest.add(content);
    hex(&digest.finish())
}

/// The digest of a blob of so many bytes, which are still to come.
pub(crate) fn blob(bytes: u64) -> Sha1 {
    let mut digest = Sha1::new();
    digest.add(format!("blob {bytes}\0").as_bytes());
    digest
}

pub(crate) fn hex(digest: &[u8; 20]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_have_the_names_that_git_gives_them() {
        assert_eq!(blob_name(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob_name(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
        let mut digest = Sha1::new();
        for _ in 0..1000 {
            digest.add(&[b'a'; 1000]);
        }
        assert_eq!(hex(&digest.finish()), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    }
}
