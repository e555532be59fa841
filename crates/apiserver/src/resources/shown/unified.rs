//! Differences between texts, line by line.
//!
//! The same lines are told as by Python's `difflib`, which Go's tools took over: the longest run of lines that both
//! texts have stays, then the longest before and behind it, and so on.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Lines around a difference that are shown with it.
const CONTEXT: usize = 3;

/// Texts of this many lines have lines that are too frequent to begin a run with.
const LONG: usize = 200;

/// A run of lines that both texts have.
#[derive(Debug, Clone, Copy)]
struct Run {
    old: usize,
    new: usize,
    length: usize,
}

/// Lines that differ: what stood there and what does now.
#[derive(Debug, Clone, Copy)]
struct Change {
    old: (usize, usize),
    new: (usize, usize),
}

/// What differs, with the lines around it. Empty if nothing does.
pub(super) fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let changes = changes(&old, &new);
    let mut text = String::new();
    let mut rest = changes.as_slice();
    while let Some(first) = rest.first() {
        // Changes whose surroundings touch are told together.
        let apart = rest.windows(2).position(|pair| pair[1].old.0 - pair[0].old.1 > 2 * CONTEXT);
        let (group, others) = rest.split_at(apart.map_or(rest.len(), |place| place + 1));
        rest = others;
        let last = group.last().unwrap_or(first);
        let before = first.old.0.min(first.new.0).min(CONTEXT);
        let after = (old.len() - last.old.1).min(new.len() - last.new.1).min(CONTEXT);
        let range = |start: usize, end: usize| match end - start {
            1 => format!("{}", start + 1),
            0 => format!("{start},0"),
            length => format!("{},{length}", start + 1),
        };
        let (old_range, new_range) =
            (range(first.old.0 - before, last.old.1 + after), range(first.new.0 - before, last.new.1 + after));
        let _ = writeln!(text, "@@ -{old_range} +{new_range} @@");
        let mut put = |mark: char, lines: &[&str]| {
            for line in lines {
                let _ = writeln!(text, "{mark}{line}");
            }
        };
        let mut place = first.old.0 - before;
        for change in group {
            put(' ', &old[place..change.old.0]);
            put('-', &old[change.old.0..change.old.1]);
            put('+', &new[change.new.0..change.new.1]);
            place = change.old.1;
        }
        put(' ', &old[place..last.old.1 + after]);
    }
    text
}

fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    let mut runs = runs(old, new);
    runs.push(Run { old: old.len(), new: new.len(), length: 0 });
    let (mut changes, mut at) = (Vec::new(), (0, 0));
    for run in runs {
        if at.0 < run.old || at.1 < run.new {
            changes.push(Change { old: (at.0, run.old), new: (at.1, run.new) });
        }
        at = (run.old + run.length, run.new + run.length);
    }
    changes
}

/// The runs that stay, in order.
fn runs(old: &[&str], new: &[&str]) -> Vec<Run> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(place);
    }
    if new.len() >= LONG {
        places.retain(|_, places| places.len() <= new.len() / 100 + 1);
    }
    let mut runs = Vec::new();
    let mut open = vec![((0, old.len()), (0, new.len()))];
    while let Some((within_old, within_new)) = open.pop() {
        let run = longest(old, new, &places, within_old, within_new);
        if run.length == 0 {
            continue;
        }
        runs.push(run);
        for (within_old, within_new) in [
            ((within_old.0, run.old), (within_new.0, run.new)),
            ((run.old + run.length, within_old.1), (run.new + run.length, within_new.1)),
        ] {
            if within_old.0 < within_old.1 && within_new.0 < within_new.1 {
                open.push((within_old, within_new));
            }
        }
    }
    runs.sort_by_key(|run| run.old);
    runs
}

/// The longest run inside parts of both texts; of several the first.
fn longest(
    old: &[&str],
    new: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    within_old: (usize, usize),
    within_new: (usize, usize),
) -> Run {
    let mut best = Run { old: within_old.0, new: within_new.0, length: 0 };
    // Lengths of runs that end with the line before, by where they end in the new text.
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for (at_old, line) in old.iter().enumerate().take(within_old.1).skip(within_old.0) {
        let mut longer = HashMap::new();
        let inside = |place: &&usize| (within_new.0..within_new.1).contains(*place);
        for &at_new in places.get(line).into_iter().flatten().filter(inside) {
            let length = at_new.checked_sub(1).and_then(|before| ending.get(&before)).copied().unwrap_or(0) + 1;
            longer.insert(at_new, length);
            if length > best.length {
                best = Run { old: at_old + 1 - length, new: at_new + 1 - length, length };
            }
        }
        ending = longer;
    }
    // Frequent lines began none, but belong to one if they touch it.
    while best.old > within_old.0 && best.new > within_new.0 && old[best.old - 1] == new[best.new - 1] {
        best = Run { old: best.old - 1, new: best.new - 1, length: best.length + 1 };
    }
    while best.old + best.length < within_old.1
        && best.new + best.length < within_new.1
        && old[best.old + best.length] == new[best.new + best.length]
    {
        best.length += 1;
    }
    best
}
