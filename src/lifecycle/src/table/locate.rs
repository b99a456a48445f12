//! Finds the line of a key in a file of `states/`, because serde reports lines for wrong shapes only
//! and not for wrong names. It knows the block style that these files are written in, not YAML.

/// The line, counted from 1, of the last key of `path`, of its `nth` occurrence counted from 0; or
/// the nearest parent that can be found.
pub(crate) fn line_of(text: &str, path: &[&str], nth: usize) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let (mut first, mut end, mut line) = (0, lines.len(), 0);
    for (depth, key) in path.iter().enumerate() {
        let skip = if depth + 1 == path.len() { nth } else { 0 };
        let Some(found) = key_line(&lines, first, end, key, skip) else { break };
        line = found;
        first = found + 1;
        end = block_end(&lines, found, end);
    }
    line + 1
}

/// The line of `word` inside the value of the key that `path` leads to, else the line of that key.
pub(crate) fn line_of_word(text: &str, path: &[&str], word: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let start = line_of(text, path, 0) - 1;
    let end = block_end(&lines, start, lines.len());
    let holds = |line: &&str| {
        line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|part| part == word)
    };
    let offset = lines.iter().take(end).skip(start).position(holds).unwrap_or(0);
    start + offset + 1
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_blank(line: &str) -> bool {
    let text = line.trim_start();
    text.is_empty() || text.starts_with('#')
}

/// The `skip`-th line between `first` and `end` that holds `key` at the indentation of the block.
fn key_line(lines: &[&str], first: usize, end: usize, key: &str, skip: usize) -> Option<usize> {
    let block = first..end.min(lines.len());
    let depth = lines.get(block.clone())?.iter().find(|line| !is_blank(line)).map(|l| indent(l))?;
    block
        .filter(|index| {
            lines.get(*index).is_some_and(|line| {
                let rest = line.trim_start().strip_prefix(key);
                indent(line) == depth && rest.is_some_and(|rest| rest.starts_with(':'))
            })
        })
        .nth(skip)
}

/// Where the value of the key at `key_line` ends.
fn block_end(lines: &[&str], key_line: usize, end: usize) -> usize {
    let depth = lines.get(key_line).map_or(0, |line| indent(line));
    (key_line + 1..end)
        .find(|index| lines.get(*index).is_some_and(|l| !is_blank(l) && indent(l) <= depth))
        .unwrap_or(end)
}
