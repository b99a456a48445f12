//! The traits through which rooms append to and read from a time series store, and their merge.
//! It knows no implementation: `tsdb` is one, tests bring others.
//!
//! Concurrency: a store is shared; an appender belongs to one thread until its commit; a querier is a
//! snapshot that any number of threads read.

mod append;
mod error;
mod query;

pub use append::{
    Appendable, Appender, ExemplarSample, FloatSample, HistogramSample, Rejected, Rejection,
    SeriesHandle, SeriesRef, SeriesStart,
};
pub use error::StorageError;
pub use query::{
    Columns, ExemplarQueryable, ExemplarSeries, Grouping, Groups, HistogramPoint, LabelHints,
    Querier, Queryable, SelectHints, Selection, TimeRange, group_by_labels,
};
