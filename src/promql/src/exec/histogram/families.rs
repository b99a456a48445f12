//! Which series of an operand are buckets of one classic histogram, and which may be native ones.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prom_model::{Labels, parse_float};

use crate::exec::series::{LabelNumbers, SeriesSet};

/// The label that holds a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// Series by the histogram they belong to. Results come family by family, then one for each series that
/// may be native.
#[derive(Default)]
pub(super) struct Families {
    /// For each classic histogram the operand's series and their upper bounds, lowest first.
    pub(super) members: Vec<Vec<(f64, u32)>>,
    /// Names to tell in remarks, where names are still there.
    pub(super) names: Vec<String>,
    /// By family the series of the same labels that may be native.
    pub(super) twins: HashMap<usize, u32, FixedState>,
    natives: Vec<Native>,
    /// Whether some series may be buckets and native histograms, or share their labels with one.
    pub(super) has_native_buckets: bool,
}

/// A series that may be a native histogram.
pub(super) struct Native {
    pub(super) series: u32,
    /// As [`Families::names`].
    pub(super) name: String,
    /// What its `le` says, if that is no bound: as a float it is no bucket.
    pub(super) malformed_bound: Option<String>,
    /// The family of the same labels.
    pub(super) twin: Option<usize>,
}

impl Families {
    /// Finds them, and the labels of each result.
    pub(super) fn of(series: &SeriesSet, is_name_kept: bool) -> (Self, Vec<Labels>) {
        let mut families = Self::default();
        let mut numbers = LabelNumbers::default();
        let mut native_labels = Vec::new();
        let buckets_may_be_native = series.may_have_histograms();
        for index in 0..series.len() {
            let labels = series.labels(index);
            let name = if is_name_kept { labels.metric_name() } else { "" };
            let bound_text = labels.get(BUCKET_LABEL).unwrap_or_default();
            let bound = parse_float(bound_text);
            if let Some(bound) = bound {
                let number = numbers.number(&labels.without(&[BUCKET_LABEL])) as usize;
                if number == families.members.len() {
                    families.members.push(Vec::new());
                    families.names.push(name.to_owned());
                }
                families.members[number].push((bound, index as u32));
                families.has_native_buckets |= buckets_may_be_native;
            }
            if bound.is_none() || buckets_may_be_native {
                families.natives.push(Native {
                    series: index as u32,
                    name: name.to_owned(),
                    malformed_bound: bound.is_none().then(|| bound_text.to_owned()),
                    twin: None,
                });
                native_labels.push(labels);
            }
        }
        for members in &mut families.members {
            members.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let mut sets = numbers.labels.clone();
        for (native, labels) in families.natives.iter_mut().zip(&native_labels) {
            let number = numbers.number(labels) as usize;
            if number < families.members.len() {
                native.twin = Some(number);
                families.has_native_buckets = true;
                families.twins.insert(number, native.series);
            }
        }
        sets.append(&mut native_labels);
        (families, sets)
    }

    /// How many results one question gives.
    pub(super) fn output_count(&self) -> usize {
        self.members.len() + self.natives.len()
    }

    /// The native series behind a result; none if that is the family of the same index.
    pub(super) fn native_of(&self, output: usize) -> Option<&Native> {
        self.natives.get(output.checked_sub(self.members.len())?)
    }
}
