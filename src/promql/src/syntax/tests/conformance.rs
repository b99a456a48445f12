//! Every query and every series of the reference's test scripts.

use std::path::PathBuf;

use super::*;

/// The scripts, or nothing where the conformance data are not at hand.
fn scripts() -> Vec<(PathBuf, String)> {
    let Some(folder) = prom_testkit::conformance("promqltest") else { return Vec::new() };
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "test"));
    paths.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The query of `eval instant at 5m query` or `eval range from 0 to 5m step 1m query`.
fn query_of(line: &str) -> Option<(&str, &str)> {
    let (command, mut rest) = line.split_once(' ')?;
    if !command.starts_with("eval") {
        return None;
    }
    for keyword in ["instant at", "range from"] {
        if let Some(after) = rest.trim_start().strip_prefix(keyword) {
            let words = if keyword == "instant at" { 1 } else { 5 };
            rest = after.trim_start();
            for _ in 0..words {
                rest = rest.split_once(char::is_whitespace)?.1.trim_start();
            }
            return Some((command, rest));
        }
    }
    None
}

#[test]
fn queries_of_the_scripts_parse_unless_they_must_fail() {
    let mut count = 0;
    let scripts = scripts();
    for (path, script) in &scripts {
        let mut lines = script.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((command, query)) = query_of(line.trim()) else { continue };
            count += 1;
            let mut must_fail = command == "eval_fail";
            while let Some(below) = lines.next_if(|below| below.starts_with([' ', '\t'])) {
                must_fail |= below.trim().starts_with("expect fail");
            }
            match parse(query, &ParseOptions::ALL) {
                Ok(expr) => {
                    let printed = expr.to_string();
                    assert_eq!(parsed(&printed).to_string(), printed, "{query}");
                    let again = parsed(&pretty(&expr)).to_string();
                    assert_eq!(again, printed, "{query}");
                }
                Err(errors) => assert!(must_fail, "{}: {query}: {errors}", path.display()),
            }
        }
    }
    assert!(scripts.is_empty() || count > 2_000, "{count} queries found");
}

#[test]
fn series_of_the_scripts_parse() {
    for (path, script) in scripts() {
        let mut is_loading = false;
        for line in script.lines() {
            if !line.starts_with([' ', '\t']) {
                is_loading = line.starts_with("load");
                continue;
            }
            let line = line.trim();
            // Lines of start times, `metric@st ...`, are the script's own and no series.
            let is_series = !line.is_empty() && !line.starts_with('#') && !line.contains("@st ");
            if is_loading && is_series {
                let result = parse_series_description(line);
                assert!(result.is_ok(), "{}: {line}: {result:?}", path.display());
            }
        }
    }
}
