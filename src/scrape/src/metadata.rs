//! What targets say of their metric families. Equal statements of many targets are kept once.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use prom_exposition::{
    protobuf,
    text::{Dialect, Entry as Line, Parser, unescape_help},
};
use prom_model::MetricType;

use crate::{MetricMetadata, pass::Body};

/// Families of one target that are remembered; those after them are not.
const FAMILY_COUNT_MAX: usize = 50_000;
/// Help that is remembered of one family; the rest is cut off.
const HELP_SIZE_BYTES_MAX: usize = 4 << 10;
/// The table is swept when it has grown to twice its size after the last sweep, and at least to this.
const SWEEP_COUNT_MIN: usize = 4_096;

/// The statements of all targets.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashSet<Arc<MetricMetadata>>,
    count_after_sweep: usize,
}

impl MetadataTable {
    /// What `body` says, in the order of its families.
    pub(crate) fn collect(&self, body: Body<'_>) -> Vec<Arc<MetricMetadata>> {
        let said = read(body);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = said.into_iter().map(|metadata| state.share(metadata)).collect();
        state.sweep();
        shared
    }
}

impl State {
    fn share(&mut self, metadata: MetricMetadata) -> Arc<MetricMetadata> {
        if let Some(known) = self.known.get(&metadata) {
            return Arc::clone(known);
        }
        let metadata = Arc::new(metadata);
        self.known.insert(Arc::clone(&metadata));
        metadata
    }

    fn sweep(&mut self) {
        if self.known.len() > (2 * self.count_after_sweep).max(SWEEP_COUNT_MIN) {
            self.known.retain(|metadata| Arc::strong_count(metadata) > 1);
            self.count_after_sweep = self.known.len();
        }
    }
}

/// How many bytes the metadata of a target would take if nobody shared it.
/// Compat: `metaEntry.size` in `scrape/scrape.go`.
pub(crate) fn size_bytes(metadata: &[Arc<MetricMetadata>]) -> usize {
    metadata.iter().map(|said| said.help.len() + said.unit.len() + said.kind.len()).sum()
}

/// The body has been read before, so whatever is wrong with it is known by now.
fn read(body: Body<'_>) -> Vec<MetricMetadata> {
    match Dialect::of(body.format) {
        Some(dialect) => read_lines(body.bytes, dialect),
        None => read_families(body.bytes),
    }
}

fn read_families(body: &[u8]) -> Vec<MetricMetadata> {
    let mut families = BTreeMap::new();
    let mut parser = protobuf::Parser::new(body);
    while families.len() < FAMILY_COUNT_MAX
        && let Ok(Some(family)) = parser.next_family()
    {
        let help = &family.help[..family.help.floor_char_boundary(HELP_SIZE_BYTES_MAX)];
        let metadata = MetricMetadata {
            family: family.name.into(),
            kind: family.metric_type.as_str(),
            help: help.into(),
            unit: family.unit.into(),
        };
        families.insert(family.name, metadata);
    }
    families.into_values().collect()
}

fn read_lines(body: &[u8], dialect: Dialect) -> Vec<MetricMetadata> {
    #[derive(Default)]
    struct Said<'a> {
        metric_type: MetricType,
        help: &'a str,
        unit: &'a str,
    }
    let mut families: BTreeMap<&str, Said<'_>> = BTreeMap::new();
    let mut parser = Parser::new(body, dialect);
    while families.len() < FAMILY_COUNT_MAX
        && let Ok(Some(line)) = parser.next_entry()
    {
        match line {
            Line::Help { name, text } => families.entry(name).or_default().help = text,
            Line::Type { name, metric_type } => {
                families.entry(name).or_default().metric_type = metric_type;
            }
            Line::Unit { name, unit } => families.entry(name).or_default().unit = unit,
            Line::Comment(_) | Line::Sample(_) => {}
        }
    }
    let metadata = |(family, said): (&str, Said<'_>)| {
        let help = &said.help[..said.help.floor_char_boundary(HELP_SIZE_BYTES_MAX)];
        MetricMetadata {
            family: family.into(),
            kind: said.metric_type.as_str(),
            help: unescape_help(help, dialect).into(),
            unit: said.unit.into(),
        }
    };
    families.into_iter().map(metadata).collect()
}
