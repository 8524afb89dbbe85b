//! Files that have a new name: what came has exactly the content of what went.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;

use super::change::{Carried, Change, Side, Status};
use super::patch::digest;
use pyro_seed::places::Places;

/// Joins changes of which one is the other with a new name. Empty files are not: they all have the same content.
pub(super) fn find(changes: &mut [Change], from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut gone: HashMap<(u64, &'static str), Vec<usize>> = HashMap::new();
    for (place, change) in changes.iter().enumerate() {
        if change.status() == Status::Deleted
            && let Some(kind) = change.from.and_then(|side| sort(change, &side))
        {
            gone.entry(kind).or_default().push(place);
        }
    }
    let (mut old_places, mut new_places) = (Places::new(from), Places::new(to));
    let mut named: HashMap<usize, String> = HashMap::new();
    for place in 0..changes.len() {
        let change = &changes[place];
        let Some(to) = change.to.filter(|_| change.status() == Status::Added) else { continue };
        let Some(candidates) = sort(change, &to).and_then(|kind| gone.get_mut(&kind)) else { continue };
        if candidates.is_empty() {
            continue;
        }
        let wanted = digest(&mut new_places, &change.path, Some(to))?;
        for candidate in candidates.iter().copied() {
            if let std::collections::hash_map::Entry::Vacant(entry) = named.entry(candidate) {
                let old = &changes[candidate];
                entry.insert(digest(&mut old_places, &old.path, old.from)?);
            }
        }
        let Some(at) = candidates.iter().position(|candidate| named[candidate] == wanted) else { continue };
        let old = candidates.swap_remove(at);
        let (before, path) = (changes[old].clone(), changes[place].path.clone());
        changes[old].renamed = Some(path);
        changes[place].renamed = Some(before.path);
        changes[place].renamed_from = before.from;
    }
    Ok(())
}

/// What must be the same of both beside their content.
fn sort(change: &Change, side: &Side) -> Option<(u64, &'static str)> {
    let is_carried = side.is_blob() && side.size > 0 && change.carried != Carried::Never;
    is_carried.then(|| (side.size, if side.git_mode() == "120000" { "link" } else { "file" }))
}
