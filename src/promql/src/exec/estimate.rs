//! What a query will cost, told before it runs from the number of its series, its steps and its time.
//! It reads no sample, so how densely samples lie is assumed.

use std::sync::Arc;

use prom_model::Matcher;
use prom_storage::Selection;

use crate::{annotation::position, plan::Plan};

/// Assumed time between two samples of a series.
const SAMPLE_INTERVAL_MS: u64 = 15_000;
/// What opening one series costs, in values.
const SERIES_WORK: u64 = 60;
/// A value of a result and its time.
const POINT_SIZE_BYTES: u64 = 16;
/// Characters of a selector that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// Costs of a query, by its selectors.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct QueryEstimate {
    /// Series that are selected; each selector counts its own.
    pub series: u64,
    /// Samples that are read.
    pub samples: u64,
    /// Bytes of a result in which every selected series has every step.
    pub bytes: u64,
    /// Values that are read or computed: what the time grows with.
    pub work: u64,
    /// The selector with the most work, where it stands, its series and samples.
    pub heaviest: String,
}

impl QueryEstimate {
    pub(crate) fn of(plan: &Plan, selections: &[Arc<dyn Selection>], query: &str) -> Self {
        let selectors = &plan.selectors;
        let mut estimate = Self { work: plan.step_count, ..Self::default() };
        let mut heaviest = (0, 0, 0);
        for (index, (selector, selection)) in selectors.iter().zip(selections).enumerate() {
            let Some(range) = selector.range else { continue };
            let series = selection.len() as u64;
            let range_ms = range.maxt_ms.saturating_sub(range.mint_ms).max(0) as u64;
            let samples = series.saturating_mul(range_ms / SAMPLE_INTERVAL_MS + 1);
            let values = series.saturating_mul(selector.step_count + SERIES_WORK);
            let work = samples.saturating_add(values);
            if work > heaviest.0 {
                heaviest = (work, index, samples);
            }
            estimate.series += series;
            estimate.samples = estimate.samples.saturating_add(samples);
            let points = series.saturating_mul(selector.step_count);
            estimate.bytes = estimate.bytes.saturating_add(points.saturating_mul(POINT_SIZE_BYTES));
            estimate.work = estimate.work.saturating_add(work);
        }
        if heaviest.0 > 0 {
            let (selector, selection) = (&selectors[heaviest.1], &selections[heaviest.1]);
            let text = selector_text(&selector.matchers);
            let place = position(query, selector.span);
            let (series, samples) = (selection.len(), heaviest.2);
            estimate.heaviest =
                format!("{text} ({place}) with {series} series and about {samples} samples");
        }
        estimate
    }
}

/// The matchers as a selector, cut where it gets long.
fn selector_text(matchers: &[Matcher]) -> String {
    let mut text = String::from("{");
    for (index, matcher) in matchers.iter().enumerate() {
        let separator = if index > 0 { "," } else { "" };
        text.extend([separator, &matcher.to_string()]);
        if text.len() > SHOWN_CHARS_MAX {
            text.truncate(text.floor_char_boundary(SHOWN_CHARS_MAX));
            return text + "...}";
        }
    }
    text + "}"
}

#[cfg(test)]
mod tests {
    use prom_model::{Labels, MatchOp};
    use prom_storage::{Columns, StorageError, TimeRange};

    use super::*;
    use crate::{
        plan::{Node, Selector},
        syntax::Span,
    };

    struct Some(usize);

    impl Selection for Some {
        fn len(&self) -> usize {
            self.0
        }

        fn labels(&self, _index: usize) -> Labels {
            Labels::empty()
        }

        fn read(
            &self,
            _index: usize,
            _range: TimeRange,
            _out: &mut Columns,
        ) -> Result<(), StorageError> {
            Ok(())
        }
    }

    #[test]
    fn the_selector_with_the_most_work_is_named() {
        let selector = |name: &str, minutes: i64, step_count| Selector {
            matchers: vec![
                Matcher::equal("__name__", name),
                Matcher::new("job", MatchOp::Regex, "a.*").unwrap(),
            ],
            range: Option::Some(TimeRange { mint_ms: 1, maxt_ms: minutes * 60_000 }),
            step_count,
            span: Span { start: 4, end: 8 },
        };
        let root = || Node::Scalar(crate::plan::Scalar::Time);
        let plan = |selectors| Plan { root: root(), selectors, step_count: 7 };
        let selectors = vec![
            selector("many", 1, 10),
            selector("few", 1, 100),
            selector(&"x".repeat(300), 5, 1),
        ];
        let selections: Vec<Arc<dyn Selection>> =
            vec![Arc::new(Some(1000)), Arc::new(Some(2)), Arc::new(Some(1))];
        let query = "sum(many) + few";
        let estimate = QueryEstimate::of(&plan(selectors), &selections, query);
        assert_eq!(
            estimate.heaviest,
            "{__name__=\"many\",job=~\"a.*\"} (1:5) with 1000 series and about 4000 samples"
        );
        assert_eq!((estimate.series, estimate.samples), (1003, 1000 * 4 + 2 * 4 + 20));
        assert_eq!(estimate.bytes, (1000 * 10 + 200 + 1) * 16);
        assert_eq!(estimate.work, estimate.samples + 1000 * 70 + 2 * 160 + 61 + 7);
        let long = plan(vec![selector(&"x".repeat(300), 5, 1)]);
        let only_long = QueryEstimate::of(&long, &selections[2..], query).heaviest;
        assert!(
            only_long.ends_with("...} (1:5) with 1 series and about 20 samples")
                && only_long.len() < 270,
            "{only_long}"
        );
    }
}
