//! Files are read back as written, and anything else is refused by name.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const KIND: Kind = Kind { magic: *b"PROMTEST", version: 3, payload_size_bytes_max: 1 << 16 };

type Value = (u64, String, Vec<u8>, BTreeMap<String, Option<f64>>);

fn value() -> Value {
    let map = BTreeMap::from([("a".to_owned(), Some(1.5)), ("b".to_owned(), None)]);
    (7, "text".to_owned(), vec![1, 2, 3], map)
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.state");
    (folder, path)
}

/// What reading this file says.
fn reading(bytes: &[u8]) -> String {
    let (_folder, path) = place();
    fs::write(&path, bytes).unwrap();
    match read::<Value>(&path, KIND) {
        Ok(_) => "read".to_owned(),
        Err(err) => err.to_string().replace(&path.display().to_string(), "F"),
    }
}

fn written() -> Vec<u8> {
    let (_folder, path) = place();
    write(&path, KIND, &value()).unwrap();
    fs::read(&path).unwrap()
}

#[test]
fn a_value_comes_back_and_replaces_the_one_before() {
    let (folder, path) = place();
    assert_eq!(read::<Value>(&path, KIND).unwrap(), None);
    write(&path, KIND, &(1u64, String::new(), vec![0u8], BTreeMap::<String, Option<f64>>::new()))
        .unwrap();
    // what an earlier process left does not matter
    fs::write(folder.path().join("some.state.tmp"), "left over").unwrap();
    write(&path, KIND, &value()).unwrap();
    assert_eq!(read::<Value>(&path, KIND).unwrap(), Some(value()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn items_come_back_in_their_order() {
    let (_folder, path) = place();
    let mut writer = StateWriter::create(&path, KIND).unwrap();
    writer.value(&value()).unwrap();
    writer.bytes(b"raw").unwrap();
    writer.bytes(b"").unwrap();
    writer.value(&7u8).unwrap();
    writer.finish().unwrap();
    let mut reader = StateReader::open(&path, KIND).unwrap().unwrap();
    assert_eq!(reader.value::<Value>().unwrap(), value());
    assert_eq!(reader.bytes().unwrap(), b"raw");
    assert_eq!(reader.bytes().unwrap(), b"");
    assert!(!reader.is_at_end());
    assert_eq!(reader.value::<u8>().unwrap(), 7);
    assert!(reader.is_at_end());
    reader.finish().unwrap();
}

#[test]
fn a_writer_that_is_dropped_leaves_what_was() {
    let (folder, path) = place();
    write(&path, KIND, &value()).unwrap();
    let mut writer = StateWriter::create(&path, KIND).unwrap();
    writer.bytes(b"never finished").unwrap();
    drop(writer);
    assert_eq!(read::<Value>(&path, KIND).unwrap(), Some(value()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn too_much_is_refused_when_written() {
    let (_folder, path) = place();
    let expected = "\"F\" would have more than 65536 bytes";
    let text = |err: StateFileError| err.to_string().replace(&path.display().to_string(), "F");
    assert_eq!(text(write(&path, KIND, &vec![0u64; 1 << 14]).unwrap_err()), expected);
    let mut writer = StateWriter::create(&path, KIND).unwrap();
    writer.bytes(&[0; 1 << 15]).unwrap();
    assert_eq!(text(writer.bytes(&[0; 1 << 15]).unwrap_err()), expected);
}

#[test]
fn foreign_files_are_refused_by_name() {
    let good = written();
    assert_eq!(reading(&good), "read");
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        reading(&bytes)
    };
    let longer = [&good[..], b"x"].concat();
    let size = good.len() - 24;
    for (got, expected) in [
        (reading(b""), "\"F\" is damaged: it ends within its header".to_owned()),
        (changed(0, b'Q'), "\"F\" is of another kind: it begins with \"QROMTEST\"".to_owned()),
        (changed(8, 4), "\"F\" has version 4, not 3".to_owned()),
        (
            reading(&longer),
            format!("\"F\" is damaged: {size} bytes said, {} bytes with the header", size + 25),
        ),
        (changed(24, 8), "\"F\" is damaged: the checksum does not match".to_owned()),
        (changed(21, 8), "\"F\" is damaged: the checksum does not match".to_owned()),
        // the length of the text
        (changed(32 + 7, 0x7f), "\"F\" is damaged: the size limit has been reached".to_owned()),
    ] {
        assert_eq!(got, expected);
    }
}

#[test]
fn a_file_of_more_than_one_value_is_not_taken_for_one() {
    let (_folder, path) = place();
    let mut writer = StateWriter::create(&path, KIND).unwrap();
    writer.value(&7u8).unwrap();
    writer.value(&7u8).unwrap();
    writer.finish().unwrap();
    let err = read::<u8>(&path, KIND).unwrap_err();
    assert!(err.is_corruption(), "{err}");
    assert!(err.to_string().ends_with("1 bytes too many"), "{err}");
}

#[test]
fn no_disk_space_and_no_folder_have_names() {
    let (folder, path) = place();
    let absent = folder.path().join("absent/some.state");
    let err = write(&absent, KIND, &value()).unwrap_err();
    assert!(err.to_string().starts_with("cannot create "), "{err}");
    assert!(!err.is_disk_full());
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    assert!(StateFileError::Io { action: "write", path, source: full }.is_disk_full());
}

proptest! {
    #[test]
    fn any_value_comes_back(value: (Vec<(u64, String)>, Option<i64>, String)) {
        let (_folder, path) = place();
        write(&path, KIND, &value).unwrap();
        prop_assert_eq!(read(&path, KIND).unwrap(), Some(value));
    }

    #[test]
    fn a_changed_or_cut_file_is_never_read(at in 0usize..1000, by in 1u8.., cut in 0usize..1000) {
        let good = written();
        let mut changed = good.clone();
        changed[at % good.len()] ^= by;
        prop_assert_ne!(reading(&changed), "read");
        prop_assert_ne!(reading(&good[..cut % good.len()]), "read");
    }

    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        prop_assert_ne!(reading(&bytes), "read");
    }
}
