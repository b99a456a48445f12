//! What is written is read; what others wrote is read; damage is noticed, wherever it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::Path,
};

use prom_testkit::{FaultyDisk, conformance};
use proptest::prelude::*;

use crate::disk::{Disk, RealDisk};

use super::*;

type Labels = Vec<(String, String)>;
/// A series: number, labels, chunks.
type Listed = (u32, Labels, Vec<ChunkMeta>);
type Listing = Vec<Listed>;

const DIR: &str = "/block";

fn sets(count: usize) -> BTreeSet<Labels> {
    let set = |n: usize| {
        let mut labels = vec![
            ("__name__".to_owned(), format!("metric_{}", n % 7)),
            ("n".to_owned(), format!("{n}")),
        ];
        if n.is_multiple_of(3) {
            labels.push(("only some \u{fc}".to_owned(), "v".repeat(n % 300)));
        }
        labels.retain(|(_, value)| !value.is_empty());
        labels
    };
    (0..count).map(set).collect()
}

fn chunks_of(n: usize) -> Vec<ChunkMeta> {
    let chunk = |at: usize| ChunkMeta {
        min_t: at as i64 * 1000 - 5000,
        max_t: at as i64 * 1000 - 4001 + (at % 2) as i64,
        chunk_ref: ((n * 10 + at) as u64) << (at % 40),
    };
    (0..n % 5).map(|at| chunk(at * 2)).collect()
}

/// Writes an index of the label sets; the chunks of the n-th are `chunks_of(n)`.
fn write(disk: &FaultyDisk, sets: &BTreeSet<Labels>, batch: u64) {
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let mut writer = IndexWriter::new(disk, Path::new(DIR)).unwrap().with_batch(batch);
    let texts: BTreeSet<&str> =
        sets.iter().flatten().flat_map(|(name, value)| [&**name, &**value]).collect();
    let numbers: BTreeMap<&str, u32> =
        texts.into_iter().map(|text| (text, writer.add_symbol(text).unwrap())).collect();
    for (n, set) in sets.iter().enumerate() {
        let labels: Vec<_> = set.iter().map(|(a, b)| (numbers[&**a], numbers[&**b])).collect();
        writer.add_series(&labels, &chunks_of(n)).unwrap();
    }
    writer.finish().unwrap();
}

/// Label sets and chunks by series number, through the list of all series.
fn read_all(index: &IndexReader) -> Result<Listing, String> {
    let text = |symbol| index.symbol(symbol).map(str::to_owned).map_err(|err| err.to_string());
    let mut series = SeriesEntry::default();
    let mut found = Vec::new();
    for number in index.all_postings().map_err(|err| err.to_string())?.iter() {
        index.series(number, &mut series).map_err(|err| err.to_string())?;
        let labels = series.labels.iter();
        let labels: Result<Labels, String> =
            labels.map(|(name, value)| Ok((text(*name)?, text(*value)?))).collect();
        found.push((number, labels?, series.chunks.clone()));
    }
    Ok(found)
}

/// Everything that can be asked agrees with the list of all series.
fn check_tables(index: &IndexReader) {
    let all = read_all(index).unwrap();
    let mut by_pair: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (number, labels, _) in &all {
        for (name, value) in labels {
            by_pair.entry((name, value)).or_default().push(*number);
        }
    }
    let names: BTreeSet<&str> = by_pair.keys().map(|(name, _)| *name).collect();
    assert!(index.label_names().eq(names.iter().copied()));
    for name in names {
        let values: Vec<&str> =
            by_pair.keys().filter(|(n, _)| *n == name).map(|(_, value)| *value).collect();
        assert_eq!(index.values_count(name), values.len());
        for from in ["", "m", values[values.len() / 2], "\u{fc}"] {
            let mut found = Vec::new();
            let each = |value, _| {
                found.push(value);
                ControlFlow::Continue(())
            };
            index.for_each_value(name, from, each).unwrap();
            assert!(found.into_iter().eq(values.iter().copied().filter(|value| *value >= from)));
        }
        assert_eq!(index.postings(name, "no such value").unwrap().len(), 0);
    }
    for ((name, value), numbers) in by_pair {
        assert!(index.postings(name, value).unwrap().iter().eq(numbers), "{name}={value}");
        let symbol = index.find_symbol(value).unwrap().unwrap();
        assert_eq!(index.symbol(symbol).unwrap(), value);
    }
    assert_eq!(index.find_symbol("no such text").unwrap(), None);
    assert_eq!(index.postings("no such name", "").unwrap().len(), 0);
}

#[test]
fn what_is_written_is_read() {
    for (count, batch) in [(0, 1), (1, 1), (40, 1), (500, 700), (500, u64::MAX)] {
        let disk = FaultyDisk::default();
        let sets = sets(count);
        write(&disk, &sets, batch);
        let index = IndexReader::open(&disk, Path::new(DIR)).unwrap();
        let found = read_all(&index).unwrap();
        assert!(found.iter().map(|(_, labels, _)| labels).eq(&sets));
        for (n, (_, _, chunks)) in found.iter().enumerate() {
            assert_eq!(*chunks, chunks_of(n));
        }
        check_tables(&index);
    }
}

#[test]
fn indexes_of_prometheus_are_read() {
    let Some(golden) = conformance("golden_block") else { return };
    let block = std::fs::read_dir(golden.join("block")).unwrap().next().unwrap().unwrap().path();
    let index = IndexReader::open(&RealDisk, &block).unwrap();
    assert_eq!((index.version, read_all(&index).unwrap().len()), (Version::V2, 69));
    check_tables(&index);
    let Some(old) = conformance("tsdb") else { return };
    let index = IndexReader::open(&RealDisk, &old.join("index_format_v1")).unwrap();
    assert_eq!((index.version, read_all(&index).unwrap().len()), (Version::V1, 102));
    check_tables(&index);
}

/// An index as bytes, small, and what it holds.
fn small() -> (Vec<u8>, Listing) {
    let disk = FaultyDisk::default();
    write(&disk, &sets(12), u64::MAX);
    let path = Path::new(DIR).join(INDEX_FILE_NAME);
    let index = IndexReader::open(&disk, Path::new(DIR)).unwrap();
    (disk.content(&path).unwrap(), read_all(&index).unwrap())
}

/// Opens damaged bytes and asks for all there is; an answer without an error must be the right one.
fn check_damaged(bytes: Vec<u8>, expected: &[Listed]) {
    let disk = FaultyDisk::default();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    drop(Disk::append(&disk, &Path::new(DIR).join(INDEX_FILE_NAME)).unwrap());
    disk.edit(&Path::new(DIR).join(INDEX_FILE_NAME), |content| *content = bytes).unwrap();
    let Ok(index) = IndexReader::open(&disk, Path::new(DIR)) else { return };
    if let Ok(found) = read_all(&index) {
        assert_eq!(found, expected);
    }
    for (number, labels, _) in expected {
        for (name, value) in labels {
            if let Ok(postings) = index.postings(name, value) {
                assert!(postings.iter().any(|found| found == *number));
            }
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed_or_harmless() {
    let (bytes, expected) = small();
    for size in 0..bytes.len() {
        check_damaged(bytes[..size].to_vec(), &expected);
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        check_damaged(damaged, &expected);
    }
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at..].fill(0);
        check_damaged(damaged, &expected);
    }
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        // With a header and a table of contents that fit, the rest is looked at.
        let header = [0xba, 0xaa, 0xd7, 0, bytes.first().map_or(1, |b| 1 + (b & 1))];
        let size = bytes.len().min(5);
        bytes[..size].copy_from_slice(&header[..size]);
        let section = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(9) / 2);
        let toc = Toc { symbols: section(6), series: 5, postings_table: section(7), ..Toc::default() };
        bytes.extend(toc.encode());
        check_damaged(bytes, &[]);
    }

    #[test]
    fn intersections_are_those_of_sets(
        a in prop::collection::btree_set(0u32..400, 0..200),
        b in prop::collection::btree_set(0u32..400, 0..200),
    ) {
        let mut list = (b.len() as u32).to_be_bytes().to_vec();
        list.extend(b.iter().flat_map(|number| number.to_be_bytes()));
        let mut file = (list.len() as u32).to_be_bytes().to_vec();
        file.extend(&list);
        file.extend(crc32c::crc32c(&list).to_be_bytes());
        let postings = Postings::open(&file, 0).unwrap();
        let mut both: Vec<u32> = a.iter().copied().collect();
        postings.intersect(&mut both);
        prop_assert!(both.iter().eq(a.intersection(&b)));
    }
}
