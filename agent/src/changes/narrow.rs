//! Where two trees of one volume can differ at all, so that the rest of them is not looked at.

use std::collections::{BTreeMap, HashMap};

/// What is looked at below a directory that is the same one in both trees.
#[derive(Debug, Default)]
pub struct Node {
    /// All of its names; otherwise those of `below`.
    pub is_whole: bool,
    /// Names below that are, or lead to, what has changed.
    pub below: BTreeMap<Vec<u8>, Node>,
}

/// When an inode was made and when it was changed last, as numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// Made.
    pub made: u64,
    /// Changed last.
    pub changed: u64,
}

/// What has changed in either tree since both were one.
#[derive(Debug, Default)]
pub struct Narrowed {
    /// The root of both.
    pub root: Node,
    /// Up to this number both were one.
    pub since: u64,
    /// By the number of the inode.
    pub from: HashMap<u64, Touched>,
    /// By the number of the inode.
    pub to: HashMap<u64, Touched>,
}

impl Narrowed {
    /// Whether an inode that both trees have is the same in both, but for what is below it.
    pub(super) fn is_same(&self, inode: u64) -> bool {
        self.from.get(&inode) == self.to.get(&inode)
    }

    /// Whether it was made since both were one.
    pub(super) fn is_new(&self, inode: u64) -> bool {
        let is_new = |touched: &HashMap<u64, Touched>| touched.get(&inode).is_some_and(|each| each.made > self.since);
        is_new(&self.from) || is_new(&self.to)
    }

    /// Looks at a path, from the root, and at all names in it if it is a directory (`is_whole`).
    pub fn look_at(&mut self, path: &[u8], is_whole: bool) {
        let mut node = &mut self.root;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            node = node.below.entry(part.to_vec()).or_default();
        }
        node.is_whole |= is_whole;
    }
}
