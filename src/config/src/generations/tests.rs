//! Generations on a real disk: numbered, kept within limits, read again, and never in the way.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::RoomChange;

const MAIN: &str = "/etc/prometheus.yml";

fn sources(job: &str) -> Sources {
    let text = format!("scrape_configs: [{{job_name: {job}, basic_auth: {{password: s3cret}}}}]");
    let bytes: Arc<[u8]> = text.as_bytes().into();
    let mut sources = Sources::of_kept([SourceText { path: PathBuf::from(MAIN), bytes }]);
    sources.read(Path::new(MAIN)).unwrap();
    sources
}

fn accept(generations: &Generations, job: &str, restores: Option<u64>) -> (u64, Option<String>) {
    let mut changes = Changes::default();
    changes.add(RoomChange::between("jobs", [], [(job, 1)]));
    let accepted = Accepted {
        accepted_ms: 1_000,
        cause: "a test".to_owned(),
        restores,
        changes,
        sources: &sources(job),
        is_file_other: restores.is_some(),
    };
    let (generation, fault) = generations.accept(accepted);
    (generation.number, fault)
}

fn numbers(generations: &Generations) -> Vec<u64> {
    generations.view().kept.iter().map(|generation| generation.number).collect()
}

#[test]
fn generations_are_numbered_kept_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("generations");
    let generations = Generations::open(&folder);
    assert_eq!(accept(&generations, "a", None), (1, None));
    assert_eq!(accept(&generations, "b", None), (2, None));
    // the same again, as after a restart
    assert_eq!(accept(&generations, "b", None), (2, None));
    assert!(!generations.view().is_file_other);
    assert_eq!(accept(&generations, "a", Some(1)), (3, None));
    assert!(generations.view().is_file_other);

    let again = Generations::open(&folder);
    assert!(again.view().current.is_none());
    assert_eq!(again.view().kept, generations.view().kept);
    assert_eq!(again.view().kept[0].restores, Some(1));
    assert_eq!(again.view().kept[0].changes.to_string(), "jobs: 1 added");
    let (config, texts) = again.load(2, &LoadOptions::SERVER).unwrap();
    assert!(config.scrape_config("b").is_some());
    assert_eq!(texts.texts(), sources("b").texts());
    assert_eq!(texts.content_hash(), again.view().kept[1].content_hash);
    assert_eq!(
        again.load(9, &LoadOptions::SERVER).unwrap_err().to_string(),
        "there is no generation 9, only 1 to 3"
    );

    // secrets are in there
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("00000002.state")), 0o600);
}

#[test]
fn the_oldest_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let generations = Generations::open(folder.path());
    let count = GENERATION_COUNT_MAX as u64;
    for index in 0..count + 5 {
        accept(&generations, &format!("job{index}"), None);
    }
    assert_eq!(numbers(&generations).last(), Some(&6));
    assert_eq!(numbers(&generations).len(), GENERATION_COUNT_MAX);
    assert_eq!(numbers_in(folder.path()).len(), GENERATION_COUNT_MAX);
    // numbers are not given again
    let again = Generations::open(folder.path());
    assert_eq!(accept(&again, "new", None), (count + 6, None));
}

#[test]
fn damaged_records_are_left_out_and_their_numbers_are_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let generations = Generations::open(folder.path());
    for job in ["a", "b", "c"] {
        accept(&generations, job, None);
    }
    let path = |number| record_path(folder.path(), number);
    let mut bytes = fs::read(path(3)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path(3), bytes).unwrap();
    fs::write(path(1), "").unwrap();
    fs::write(folder.path().join(REJECTIONS_NAME), "?").unwrap();
    let err = generations.load(3, &LoadOptions::SERVER).unwrap_err();
    assert!(err.to_string().starts_with("generation 3 cannot be read: "), "{err}");
    let again = Generations::open(folder.path());
    assert_eq!(numbers(&again), [2]);
    assert_eq!(accept(&again, "c", None), (4, None));
}

#[test]
fn a_disk_that_refuses_costs_the_way_back_only() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("generations");
    fs::write(&blocked, "a file where the folder should be").unwrap();
    let generations = Generations::open(&blocked);
    let (number, fault) = accept(&generations, "a", None);
    assert_eq!(number, 1);
    assert!(fault.unwrap().starts_with("generation 1 of the configuration is not on disk: "));
    assert!(generations.view().fault.is_some());
    assert_eq!(generations.view().current.unwrap().number, 1);
    // as long as this process lives, there is a way back to it
    assert!(generations.load(1, &LoadOptions::SERVER).is_ok());
    generations
        .reject(Rejection { rejected_ms: 1, cause: String::new(), errors: String::new() }, None);
    fs::remove_file(&blocked).unwrap();
    assert_eq!(accept(&generations, "b", None), (2, None));
    assert_eq!(numbers(&generations), [2, 1]);
    assert_eq!(numbers(&Generations::open(&blocked)), [2, 1]);
}

#[test]
fn refusals_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let generations = Generations::open(folder.path());
    let refuse = |index: i64, text: &[u8]| {
        let errors = format!("error {index}\n{}", "\u{e9}".repeat(ERRORS_SIZE_BYTES_MAX));
        let rejection = Rejection { rejected_ms: index, cause: "a test".to_owned(), errors };
        let text = SourceText { path: PathBuf::from(MAIN), bytes: text.into() };
        generations.reject(rejection, Some(&text));
    };
    for index in 0..20 {
        refuse(index, b"not: [a configuration");
        refuse(index, b"not: [a configuration");
    }
    let again = Generations::open(folder.path());
    for it in [&generations, &again] {
        let rejections = it.view().rejections;
        assert_eq!(rejections.len(), REJECTION_COUNT_MAX);
        assert_eq!(rejections[0].rejected_ms, 19);
        assert!(rejections[0].errors.len() <= ERRORS_SIZE_BYTES_MAX);
        assert_eq!(&*it.rejected_text().unwrap().bytes, b"not: [a configuration");
    }
    assert!(generations.view().is_file_other);
    generations.note_unchanged();
    assert!(!generations.view().is_file_other);
    refuse(21, &vec![b'#'; REJECTED_SIZE_BYTES_MAX + 1]);
    assert!(generations.rejected_text().is_none());
}
