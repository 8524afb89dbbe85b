//! Marking a file system as a seed, as `btrfstune -S 1` does: one bit of its superblock (linux/btrfs_tree.h), after which it can
//! only be read, and another device can be added on top of it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::system_error::{Doing, SystemError};

/// Where the copies lie (btrfs_sb_offset), on a device of less than 256 GiB.
const COPIES: [u64; 2] = [64 << 10, 64 << 20];
const SUPERBLOCK_BYTES: usize = 4096;
/// `BTRFS_SUPER_FLAG_SEEDING`.
const SEEDING: u64 = 1 << 32;

/// Fields of `struct btrfs_super_block`, by where they begin.
const CHECKSUM_BYTES: usize = 32;
const BYTENR: usize = 0x30;
const FLAGS: usize = 0x38;
const MAGIC: usize = 0x40;
const CHECKSUM_TYPE: usize = 0xc4;

/// Marks the file system on `device`, which is not mounted.
pub(super) fn mark_as_seed(device: &Path) -> Result<(), SystemError> {
    let what = || format!("mark {} as a seed", device.display());
    let file = OpenOptions::new().read(true).write(true).open(device).doing(what)?;
    for offset in COPIES {
        let mut block = [0; SUPERBLOCK_BYTES];
        file.read_exact_at(&mut block, offset).doing(what)?;
        mark(&mut block, offset).ok_or(rustix::io::Errno::INVAL).doing(what)?;
        file.write_all_at(&block, offset).doing(what)?;
    }
    file.sync_all().doing(what)
}

/// Sets the bit in a superblock that was read at `offset`; none when it is no superblock with a CRC-32C.
fn mark(block: &mut [u8; SUPERBLOCK_BYTES], offset: u64) -> Option<()> {
    let is_one = block[MAGIC..MAGIC + 8] == *b"_BHRfS_M"
        && block[BYTENR..BYTENR + 8] == offset.to_le_bytes()
        && block[CHECKSUM_TYPE..CHECKSUM_TYPE + 2] == [0, 0]
        && block[..4] == crc32c(&block[CHECKSUM_BYTES..]).to_le_bytes();
    if !is_one {
        return None;
    }
    let flags = u64::from_le_bytes(block[FLAGS..FLAGS + 8].try_into().ok()?);
    block[FLAGS..FLAGS + 8].copy_from_slice(&(flags | SEEDING).to_le_bytes());
    let checksum = crc32c(&block[CHECKSUM_BYTES..]);
    block[..4].copy_from_slice(&checksum.to_le_bytes());
    Some(())
}

/// CRC-32C (Castagnoli), reflected, as btrfs has it (fs/btrfs/check-integrity: ~crc32c(~0, …)).
fn crc32c(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4: 32 bytes of zeros, and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn only_a_whole_superblock_at_its_place_is_marked() {
        let mut block = [0; SUPERBLOCK_BYTES];
        block[MAGIC..MAGIC + 8].copy_from_slice(b"_BHRfS_M");
        block[BYTENR..BYTENR + 8].copy_from_slice(&COPIES[0].to_le_bytes());
        assert_eq!(mark(&mut block, COPIES[0]), None, "without its checksum");
        let checksum = crc32c(&block[CHECKSUM_BYTES..]);
        block[..4].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(mark(&mut block, COPIES[1]), None, "at another place");
        assert_eq!(mark(&mut block, COPIES[0]), Some(()));
        assert_eq!(block[FLAGS + 4], 1);
        assert_eq!(mark(&mut block, COPIES[0]), Some(()), "again");
    }
}
