//! The name somebody probably meant. It knows no names itself.

/// The candidate closest to a name, if it is close enough to be a slip of the fingers.
pub(crate) fn near_miss<'n>(
    name: &str,
    candidates: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    const NAME_SIZE_MAX: usize = 64;
    if name.len() > NAME_SIZE_MAX {
        return None;
    }
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let normal = |text: &str| text.to_ascii_lowercase().replace('-', "_").chars().collect();
    let (from, to): (Vec<char>, Vec<char>) = (normal(from), normal(to));
    let mut before = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses() {
        let names = ["scrape_interval", "scrape_timeout", "job_name", "consul_sd_configs"];
        let cases = [
            ("scrape_intervall", Some("scrape_interval")),
            ("scrap_timeout", Some("scrape_timeout")),
            ("scrape-timeout", Some("scrape_timeout")),
            ("ScrapeTimeout", Some("scrape_timeout")),
            ("jobname", Some("job_name")),
            ("job_nmae", Some("job_name")),
            ("consult_sd_configs", Some("consul_sd_configs")),
            ("foo", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(near_miss(name, names), expected, "{name}");
        }
        assert_eq!(near_miss(&"x".repeat(1000), names), None);
    }
}
