//! Patches that are hostile in what they cost.

use std::fmt::Write as _;

use super::*;

/// Of the file: so little that the test is quick.
const FILE_BYTES: usize = 1 << 20;
/// The file can be looked through so often.
const TIMES: u64 = 32;

fn apply_with(tree: &Path, patch: &str, effort: Effort) -> Report {
    let staged = tree.with_extension("staged");
    fs::create_dir(&staged).unwrap();
    let (place, root) = (File::open(&staged).unwrap(), File::open(tree).unwrap());
    let to = (place.as_fd(), root.as_fd());
    let report = apply_in(to, Options::default(), (patch.as_bytes(), effort), &mut |_| Ok(())).unwrap();
    fs::remove_dir_all(staged).unwrap();
    report
}

fn budget() -> Effort {
    Effort::of(TIMES * FILE_BYTES as u64)
}

#[test]
fn hunks_that_are_all_far_from_their_lines_are_refused_when_they_have_cost_enough() {
    let scratch = Scratch::new("far");
    let tree = scratch.0.join("tree");
    fs::create_dir(&tree).unwrap();
    // What they change is at the beginning, and they say that it is at the end.
    let count = 4 * TIMES as usize;
    let mut content = (0..count).map(|number| format!("number {number}\nsame\n")).collect::<String>();
    content.push_str(&"same\n".repeat((FILE_BYTES - content.len()) / 5));
    let lines = content.lines().count();
    fs::write(tree.join("file"), &content).unwrap();
    let head = "--- a/file\n+++ b/file\n";
    let hunk = |patch: &mut String, at: usize, number: usize| {
        write!(patch, "@@ -{at},2 +{at},2 @@\n-number {number}\n+changed {number}\n same\n").unwrap();
    };
    let mut near = head.to_owned();
    (0..count).for_each(|number| hunk(&mut near, 2 * number + 1 + usize::from(number > 0) * 20, number));
    assert_eq!(shown(&apply_with(&tree, &near, budget())), [""; 0], "as many that are near");
    fs::write(tree.join("file"), &content).unwrap();
    let mut far = head.to_owned();
    (0..count).for_each(|number| hunk(&mut far, lines - 3 * count + 2 * number, number));
    let report = apply_with(&tree, &far, budget());
    let first = report.failures.first().unwrap();
    assert_eq!(first.reason, Reason::Limit);
    // Each of the others costs the whole file.
    let hunk = u64::from(first.hunk.unwrap());
    assert!(hunk > TIMES / 2 && hunk < 2 * TIMES, "{hunk}");
    assert!(first.text.contains("looked through"), "{}", first.text);
    assert_eq!(fs::read_to_string(tree.join("file")).unwrap(), content, "nothing is changed");
}

#[test]
fn a_file_that_is_changed_again_and_again_is_refused_when_that_has_cost_enough() {
    let scratch = Scratch::new("again");
    let tree = scratch.0.join("tree");
    fs::create_dir(&tree).unwrap();
    let content = format!("0\n{}", "same\n".repeat(FILE_BYTES / 5));
    fs::write(tree.join("file"), &content).unwrap();
    let patch = |count: u64| {
        let section = |number| format!("--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n-{number}\n+{}\n same\n", number + 1);
        (0..count).map(section).collect::<String>()
    };
    let report = apply_with(&tree, &patch(2 * TIMES), budget());
    assert_eq!(report.failures.first().map(|failure| failure.reason), Some(Reason::Limit), "{:?}", shown(&report));
    assert_eq!(fs::read_to_string(tree.join("file")).unwrap(), content, "nothing is changed");
    assert_eq!(shown(&apply_with(&tree, &patch(TIMES / 2), budget())), [""; 0]);
}
