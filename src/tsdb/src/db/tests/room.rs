//! Compactions that would not fit are put off, by name, and done when there is room.

use prom_testkit::FaultyDisk;

use super::{
    Content, commit,
    compact::{options, run},
    content, try_open,
};

const LITTLE_SIZE_BYTES: u64 = 1 << 20;

#[test]
fn a_head_block_that_does_not_fit_is_put_off() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut acknowledged = Content::new();
    disk.set_space_left(Some(LITTLE_SIZE_BYTES));
    assert!(run(&db, 0..40, &mut acknowledged));
    assert!(db.blocks.list().is_empty());
    assert_eq!(content(&db), acknowledged);
    let reason = db.disk_shortage().unwrap();
    assert_eq!(reason, "/data: a block of the head is put off: it may take 17 MiB, 1 MiB are free");
    // Nothing that is still taken is refused for it.
    commit(&db, &[(0, 4000, 1.0)]).unwrap();
    disk.set_space_left(Some(64 << 20));
    db.do_upkeep().unwrap();
    assert_eq!(db.disk_shortage(), None);
    assert_eq!(db.blocks.list().len(), 3);
    super::insert(&mut acknowledged, &[(0, 4000, 1.0)]);
    assert_eq!(content(&db), acknowledged);
}

#[test]
fn blocks_that_would_not_fit_as_one_stay_apart() {
    let disk = FaultyDisk::default();
    let mut acknowledged = Content::new();
    let db = try_open(&disk, &options()).unwrap();
    assert!(run(&db, 0..30, &mut acknowledged));
    let before = db.blocks.list().len();
    // The head fits without a merge: it has little.
    db.upkeep.room.begin();
    disk.set_space_left(Some(LITTLE_SIZE_BYTES));
    assert!(!db.has_room_for_merged(&db.blocks.list()));
    db.upkeep.room.end();
    assert!(db.disk_shortage().unwrap().contains("a compaction of blocks is put off"));
    assert_eq!(db.blocks.list().len(), before);
    disk.set_space_left(None);
    assert!(run(&db, 30..75, &mut acknowledged));
    assert_eq!(db.disk_shortage(), None);
    assert!(db.blocks.list().iter().any(|block| block.meta().compaction.level > 1));
    assert_eq!(content(&db), acknowledged);
}
