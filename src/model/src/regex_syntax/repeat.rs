//! Repetition: how often, and what the limits on it are.

use super::{RegexError, RegexErrorCode};

/// Most repetitions that can be asked for, nested ones multiplied. Compat: `maxRepeat`.
pub(super) const REPEAT_COUNT_MAX: u32 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    from_operator: bool,
}

impl Bounds {
    /// Of `*`, `+` or `?`.
    pub(super) fn of_operator(operator: char) -> Self {
        let (min, max) = match operator {
            '*' => (0, None),
            '+' => (1, None),
            _ => (0, Some(1)),
        };
        Self { min, max, from_operator: true }
    }

    /// Whether nesting is limited here.
    pub(super) fn is_counted(self) -> bool {
        !self.from_operator && (self.min >= 2 || self.max.is_some_and(|max| max >= 2))
    }

    /// Copies of the innermost part, when the repeated part already has `inside` of them.
    pub(super) fn copies(self, inside: usize) -> usize {
        match self.max {
            _ if self.from_operator => inside,
            Some(0) => 1,
            Some(max) => inside.saturating_mul(max as usize),
            None => inside.saturating_mul(self.min.max(1) as usize),
        }
    }
}

/// `{2}`, `{2,}` or `{2,3}` at the beginning of `text` and what follows; `None` where the brace is just a brace.
pub(super) fn counted(text: &str) -> Result<Option<(Bounds, &str)>, RegexError> {
    let Some((min, max, after)) = split(text) else { return Ok(None) };
    let read = &text[..text.len() - after.len()];
    let number = |digits: &str| {
        // Too many digits to be read are too many anyway.
        digits.parse().ok().filter(|number| *number <= REPEAT_COUNT_MAX)
    };
    let invalid = || RegexErrorCode::InvalidRepeatSize.at(read);
    let min = number(min).ok_or_else(invalid)?;
    let max = match max {
        Some(max) => Some(number(max).filter(|max| *max >= min).ok_or_else(invalid)?),
        None => None,
    };
    Ok(Some((Bounds { min, max, from_operator: false }, after)))
}

/// Digits of the lower and upper bound, and the rest.
fn split(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (min, rest) = digits(text.strip_prefix('{')?)?;
    if let Some(after) = rest.strip_prefix('}') {
        return Some((min, Some(min), after));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(after) = rest.strip_prefix('}') {
        return Some((min, None, after));
    }
    let (max, rest) = digits(rest)?;
    Some((min, Some(max), rest.strip_prefix('}')?))
}

/// Digits without a leading zero.
fn digits(text: &str) -> Option<(&str, &str)> {
    let size = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(size);
    let is_number = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
    is_number.then_some((digits, rest))
}
