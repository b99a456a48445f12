//! What several operators do with native histograms.

mod fold;
mod operation;
mod stat;

pub(super) use fold::{HistogramFold, Mean, Sum};
pub(super) use operation::{PairOutcome, Side, combine_pair, combine_with_scalar};
pub(super) use stat::{stat, without_buckets};
