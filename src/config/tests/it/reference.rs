//! The installed original (`promtool`, `prometheus`), asked about the same files. Without it these tests
//! print that they are skipped.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// What `promtool check config` says of each file: nothing, or why it is refused.
pub(crate) fn verdicts(
    promtool: &Path,
    flags: &str,
    files: &[PathBuf],
) -> BTreeMap<PathBuf, Option<String>> {
    // One pipe for both streams keeps the order.
    let script = format!("exec \"$0\" check config {flags} \"$@\" 2>&1");
    let output = Command::new("sh").arg("-c").arg(script).arg(promtool).args(files).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let mut verdicts = BTreeMap::new();
    for part in text.split("Checking ").skip(1) {
        let (file, rest) = part.split_once('\n').unwrap();
        // What promtool itself puts before the reason.
        let reason = rest.split_once("FAILED: ").map(|(_, reason)| {
            let reason = reason.trim_end();
            reason.strip_prefix("error loading scrape configs: ").unwrap_or(reason).to_owned()
        });
        verdicts.insert(PathBuf::from(file), reason);
    }
    assert_eq!(verdicts.len(), files.len(), "{text}");
    verdicts
}
