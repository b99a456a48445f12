//! What differs between two texts, line by line, with some lines around. It knows nothing of YAML.
//! The shortest script of changes by Myers's algorithm, as long as it is short enough to be worth reading.

/// Lines shown before and after each change.
const CONTEXT_LINE_COUNT: usize = 3;
/// Most changed lines for which the shortest script is looked for; the memory it takes grows with the
/// square, to some 8 MB. Texts that differ more count as replaced as a whole.
const SCRIPT_LENGTH_MAX: usize = 1_000;
/// Most lines of a difference.
pub(crate) const DIFF_LINE_COUNT_MAX: usize = 5_000;

/// The differences of two texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextDiff {
    pub added_count: usize,
    pub removed_count: usize,
    /// In the order of the texts.
    pub lines: Vec<DiffLine>,
    /// There are more lines than are listed.
    pub is_cut: bool,
}

/// A line of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffLine {
    /// Lines are left out here; the next one has these numbers in the old and the new text, from 1.
    Skipped {
        old_line: usize,
        new_line: usize,
    },
    Same(String),
    Removed(String),
    Added(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Same,
    Remove,
    Add,
}

impl TextDiff {
    pub fn between(old: &str, new: &str) -> Self {
        let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
        let script = script(&old, &new);
        let is_shown = shown(&script);
        let mut diff = Self::default();
        let (mut in_old, mut in_new) = (0, 0);
        let mut was_shown = false;
        for (step, is_shown) in script.iter().zip(is_shown) {
            if is_shown && diff.lines.len() >= DIFF_LINE_COUNT_MAX {
                diff.is_cut = true;
            } else if is_shown {
                if !was_shown {
                    let (old_line, new_line) = (in_old + 1, in_new + 1);
                    diff.lines.push(DiffLine::Skipped { old_line, new_line });
                }
                diff.lines.push(match step {
                    Step::Same => DiffLine::Same(old[in_old].to_owned()),
                    Step::Remove => DiffLine::Removed(old[in_old].to_owned()),
                    Step::Add => DiffLine::Added(new[in_new].to_owned()),
                });
            }
            was_shown = is_shown;
            diff.removed_count += usize::from(*step == Step::Remove);
            diff.added_count += usize::from(*step == Step::Add);
            in_old += usize::from(*step != Step::Add);
            in_new += usize::from(*step != Step::Remove);
        }
        diff
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// In the unified form of `diff -u`, without the names of files.
    pub fn to_unified(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let (mark, line) = match line {
                DiffLine::Skipped { old_line, new_line } => {
                    text.push_str(&format!("@@ -{old_line} +{new_line} @@\n"));
                    continue;
                }
                DiffLine::Same(line) => (' ', line),
                DiffLine::Removed(line) => ('-', line),
                DiffLine::Added(line) => ('+', line),
            };
            text.push(mark);
            text.push_str(line);
            text.push('\n');
        }
        if self.is_cut {
            text.push_str("@@ more is left out @@\n");
        }
        text
    }
}

/// From the old lines to the new ones.
fn script(old: &[&str], new: &[&str]) -> Vec<Step> {
    let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let mut steps = vec![Step::Same; head];
    match shortest(old, new) {
        Some(middle) => steps.extend(middle),
        None => {
            steps.extend(vec![Step::Remove; old.len()]);
            steps.extend(vec![Step::Add; new.len()]);
        }
    }
    steps.extend(vec![Step::Same; tail]);
    steps
}

/// The shortest script, unless it is too long.
fn shortest(old: &[&str], new: &[&str]) -> Option<Vec<Step>> {
    let length_max = (old.len() + new.len()).min(SCRIPT_LENGTH_MAX);
    // Of each diagonal, how far one comes in the old text by so many changes.
    let mut reach = vec![0usize; 2 * length_max + 3];
    let middle = length_max + 1;
    let mut history = Vec::new();
    for length in 0..=length_max {
        history.push(reach[middle - length..=middle + length].to_vec());
        for diagonal in (middle - length..=middle + length).step_by(2) {
            let is_added = diagonal == middle - length
                || (diagonal != middle + length && reach[diagonal - 1] < reach[diagonal + 1]);
            let mut in_old = if is_added { reach[diagonal + 1] } else { reach[diagonal - 1] + 1 };
            let mut in_new = (in_old + middle).wrapping_sub(diagonal);
            while in_old < old.len() && in_new < new.len() && old[in_old] == new[in_new] {
                (in_old, in_new) = (in_old + 1, in_new + 1);
            }
            reach[diagonal] = in_old;
            if in_old >= old.len() && in_new >= new.len() {
                return Some(way_back(&history, old.len(), new.len()));
            }
        }
    }
    None
}

/// The steps from the beginning to the end, read off what was reached on the way.
fn way_back(history: &[Vec<usize>], old_count: usize, new_count: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut in_old, mut in_new) = (old_count as isize, new_count as isize);
    for (length, reach) in history.iter().enumerate().rev() {
        let length = length as isize;
        // The reach before this length, by diagonal from -length to length.
        let at = |diagonal: isize| {
            usize::try_from(diagonal + length).ok().and_then(|i| reach.get(i)).copied().unwrap_or(0)
                as isize
        };
        let diagonal = in_old - in_new;
        let is_added =
            diagonal == -length || (diagonal != length && at(diagonal - 1) < at(diagonal + 1));
        let before = if is_added { diagonal + 1 } else { diagonal - 1 };
        let (old_before, new_before) = match length {
            0 => (0, 0),
            _ => (at(before), at(before) - before),
        };
        while in_old > old_before && in_new > new_before {
            steps.push(Step::Same);
            (in_old, in_new) = (in_old - 1, in_new - 1);
        }
        if length > 0 {
            steps.push(if is_added { Step::Add } else { Step::Remove });
            (in_old, in_new) = (old_before, new_before);
        }
    }
    steps.reverse();
    steps
}

/// Which steps are near enough to a change.
fn shown(script: &[Step]) -> Vec<bool> {
    let mut is_shown = vec![false; script.len()];
    for (index, step) in script.iter().enumerate() {
        if *step != Step::Same {
            let from = index.saturating_sub(CONTEXT_LINE_COUNT);
            let to = (index + CONTEXT_LINE_COUNT + 1).min(script.len());
            is_shown[from..to].fill(true);
        }
    }
    is_shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(old: &str, new: &str, expected: &str) {
        let (old, new) = (old.replace(' ', "\n"), new.replace(' ', "\n"));
        let unified = TextDiff::between(&old, &new).to_unified();
        assert_eq!(unified.trim_end().replace('\n', " "), expected, "{old:?} {new:?}");
    }

    #[test]
    fn changes_are_shown_with_what_is_around_them() {
        check("", "", "");
        check("a b", "a b", "");
        check("", "a", "@@ -1 +1 @@ +a");
        check("a", "", "@@ -1 +1 @@ -a");
        check("a b c", "a x c", "@@ -1 +1 @@  a -b +x  c");
        check("1 2 3 4 5 6", "1 2 3 4 5 x 6", "@@ -3 +3 @@  3  4  5 +x  6");
        check("a b c a b b a", "c b a b a c", "@@ -1 +1 @@ -a -b  c +b  a  b -b  a +c");
        let lines: Vec<String> = (0..20).map(|index| index.to_string()).collect();
        let old = lines.join(" ");
        let new = format!("x {} y", lines.join(" "));
        check(&old, &new, "@@ -1 +1 @@ +x  0  1  2 @@ -18 +19 @@  17  18  19 +y");
    }

    #[test]
    fn what_differs_too_much_is_replaced_as_a_whole() {
        let text = |from: usize| (from..from + 4_000).map(|i| format!("{i}\n")).collect::<String>();
        let diff = TextDiff::between(&text(0), &text(10_000));
        assert_eq!((diff.removed_count, diff.added_count), (4_000, 4_000));
        assert!(diff.is_cut);
        assert_eq!(diff.lines.len(), DIFF_LINE_COUNT_MAX);
    }

    proptest! {
        #[test]
        fn the_script_leads_from_old_to_new(old in "[ab\n]{0,40}", new in "[ab\n]{0,40}") {
            let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
            let (mut in_old, mut built) = (0, Vec::new());
            for (index, step) in script(&old, &new).into_iter().enumerate() {
                prop_assert!(index <= old.len() + new.len());
                match step {
                    Step::Same => { built.push(old[in_old]); in_old += 1; }
                    Step::Remove => in_old += 1,
                    Step::Add => built.push(new[built.len()]),
                }
            }
            prop_assert_eq!(in_old, old.len());
            prop_assert_eq!(built, new);
        }
    }
}
