//! What each snapshot pins: what would be free if it alone was removed.
//!
//! btrfs counts that itself only with quotas, which make every change of a volume dearer. Here it is counted when somebody asks, by
//! reading what was written since the workspace was made: what is older is the baseline's, which stays. Trees of one history are read
//! side by side in the order of their keys. An item in a leaf that was written in the same transaction is the same leaf, shared; one
//! that no other tree has is the snapshot's own, and so are the blocks that no item of another tree refers to.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::io::Errno;

use super::search::{Item, Items, Key, subvolumes};
use super::{BASELINE, SnapshotId, btrfs, layout, open_directory};
use crate::system_error::{Doing, SystemError};

/// Runs of blocks that are remembered, which bounds the guest's memory: 250,000 take some 10 MiB.
const EXTENTS_MAX: usize = 250_000;
/// Items after which the clock is looked at.
const LOOK_EVERY: u32 = 256;

/// A snapshot, and the bytes that it alone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its id.
    pub id: SnapshotId,
    /// Of files, and of the trees that lead to them.
    pub bytes: u64,
}

/// Counts what each of these snapshots pins; those that are not there are left out. None: it takes longer than `deadline`, or
/// there is more than is remembered.
pub(super) fn count(
    top: BorrowedFd<'_>,
    ids: &[SnapshotId],
    deadline: Instant,
) -> Result<Option<Vec<Pin>>, SystemError> {
    let baseline = btrfs::look(&open_directory(top, BASELINE)?).doing(|| "look at the baseline")?;
    let mut snapshots = Vec::new();
    for id in ids {
        match open_directory(top, &id.path()) {
            Ok(opened) => snapshots.push((id, btrfs::look(&opened).doing(|| "look at a snapshot")?.tree)),
            Err(error) if error.errno() == Errno::NOENT => {}
            Err(error) => return Err(error),
        }
    }
    let live = btrfs::look(&open_directory(top, layout::WORKSPACE)?).doing(|| "look at the workspace")?;
    let since = baseline.changed_in + 1;
    // What the user has made of their own has no history in common, but may refer to the same blocks.
    let others = subvolumes(top).doing(|| "list the subvolumes")?;
    let mut tally = Tally::new(since, deadline);
    let history: Vec<u64> = snapshots.iter().map(|&(_, tree)| tree).chain([baseline.tree, live.tree]).collect();
    for tree in others.into_iter().filter(|tree| !history.contains(tree)) {
        if !tally.add_stranger(Items::of(top, tree, since)).doing(|| "read a subvolume")? {
            return Ok(None);
        }
    }
    let streams = history.iter().map(|&tree| Items::of(top, tree, since)).collect();
    let counted = tally.add_history(streams).doing(|| "read the snapshots")?;
    Ok(counted.map(|bytes| {
        let pin = |((id, _), bytes): (&(&SnapshotId, u64), u64)| Pin { id: (*id).clone(), bytes };
        snapshots.iter().zip(bytes).map(pin).collect()
    }))
}

/// Who holds a run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    One(usize),
    Several,
}

struct Tally {
    since: u64,
    deadline: Instant,
    extents: HashMap<u64, (Holder, u64)>,
    looked: u32,
}

impl Tally {
    fn new(since: u64, deadline: Instant) -> Self {
        Self { since, deadline, extents: HashMap::new(), looked: 0 }
    }

    /// Whether there is time and room for one more item.
    fn goes_on(&mut self) -> bool {
        self.looked += 1;
        self.extents.len() < EXTENTS_MAX && (!self.looked.is_multiple_of(LOOK_EVERY) || Instant::now() < self.deadline)
    }

    /// A tree whose blocks count, and it itself not. False: not to its end.
    fn add_stranger(&mut self, items: impl Iterator<Item = Result<Item, Errno>>) -> Result<bool, Errno> {
        for item in items {
            self.hold(&item?, Holder::Several);
            if !self.goes_on() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What each of these trees alone holds. None: not counted to the end.
    fn add_history<I: Iterator<Item = Result<Item, Errno>>>(
        mut self,
        mut trees: Vec<I>,
    ) -> Result<Option<Vec<u64>>, Errno> {
        let mut own = vec![0; trees.len()];
        let mut heads = Vec::new();
        let mut order = BinaryHeap::new();
        for (index, tree) in trees.iter_mut().enumerate() {
            heads.push(tree.next().transpose()?);
            order.extend(heads[index].map(|item| Reverse(place(&item, index))));
        }
        while let Some(Reverse(first)) = order.pop() {
            let mut same = vec![first.2];
            while let Some(&Reverse(next)) = order.peek()
                && (next.0, next.1) == (first.0, first.1)
            {
                order.pop();
                same.push(next.2);
            }
            let holder = if let [one] = same[..] { Holder::One(one) } else { Holder::Several };
            for index in same {
                // Only what has a head is in the order.
                let Some(item) = heads[index] else { continue };
                if let Holder::One(one) = holder {
                    own[one] += item.bytes;
                }
                self.hold(&item, holder);
                heads[index] = trees[index].next().transpose()?;
                order.extend(heads[index].map(|item| Reverse(place(&item, index))));
            }
            if !self.goes_on() {
                return Ok(None);
            }
        }
        for (holder, bytes) in self.extents.into_values() {
            if let Holder::One(one) = holder {
                own[one] += bytes;
            }
        }
        Ok(Some(own))
    }

    fn hold(&mut self, item: &Item, holder: Holder) {
        // What is older is the baseline's.
        let Some(extent) = item.extent.filter(|extent| extent.generation >= self.since) else { return };
        let held = self.extents.entry(extent.address).or_insert((holder, extent.bytes));
        if held.0 != holder {
            held.0 = Holder::Several;
        }
    }
}

/// The place of a tree's next item among those of all trees.
fn place(item: &Item, tree: usize) -> (Key, u64, usize) {
    (item.key, item.generation, tree)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::volume::search::Extent;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn item(object: u64, generation: u64, address: u64) -> Result<Item, Errno> {
        let extent = (address > 0).then_some(Extent { address, bytes: 1000, generation });
        Ok(Item { key: (object, 108, 0), generation, bytes: 1, extent })
    }

    fn counted(trees: Vec<Vec<Result<Item, Errno>>>) -> Option<Vec<u64>> {
        Tally::new(5, soon()).add_history(trees.into_iter().map(Vec::into_iter).collect()).unwrap()
    }

    #[test]
    fn what_one_tree_alone_holds_is_its_own() {
        // The first has 1 alone, 2 with the second, and 3 in a leaf that the second has written anew.
        let first = vec![item(1, 6, 100), item(2, 6, 200), item(3, 6, 300)];
        let second = vec![item(2, 6, 200), item(3, 7, 300), item(4, 7, 400)];
        assert_eq!(counted(vec![first, second]), Some(vec![1002, 1002]));
    }

    #[test]
    fn blocks_that_are_referred_to_twice_by_one_tree_count_once() {
        assert_eq!(counted(vec![vec![item(1, 6, 100), item(2, 6, 100)], vec![]]), Some(vec![1002, 0]));
    }

    #[test]
    fn blocks_from_before_are_the_baselines() {
        let old = Item { extent: Some(Extent { address: 9, bytes: 1000, generation: 4 }), ..item(1, 6, 1).unwrap() };
        assert_eq!(counted(vec![vec![Ok(old)]]), Some(vec![1]));
    }

    #[test]
    fn blocks_that_a_stranger_holds_too_are_not_its_own() {
        let mut tally = Tally::new(5, soon());
        assert!(tally.add_stranger([item(9, 6, 100)].into_iter()).unwrap());
        assert_eq!(tally.add_history(vec![vec![item(1, 6, 100)].into_iter()]).unwrap(), Some(vec![1]));
    }

    #[test]
    fn what_takes_too_long_or_too_much_is_not_counted() {
        let many = |count: u64| (1..=count).map(|number| item(number, 6, number));
        let late = Tally::new(5, Instant::now());
        assert_eq!(late.add_history(vec![many(u64::from(LOOK_EVERY))]).unwrap(), None);
        let full = Tally::new(5, soon());
        assert_eq!(full.add_history(vec![many(EXTENTS_MAX as u64)]).unwrap(), None);
        let failing = vec![vec![Err(Errno::IO)].into_iter()];
        assert_eq!(Tally::new(5, soon()).add_history(failing), Err(Errno::IO));
    }
}
