//! Compiles the state machines of `states/*.yaml` into `$OUT_DIR/machines.rs`; a file with an error
//! fails the build with all of its problems. Reading, checking and printing are in `src/table/`,
//! where they are tested; here is only the way from file to file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

#[path = "src/table"]
mod table {
    pub(super) mod check;
    pub(super) mod generate;
    pub(super) mod locate;
    pub(super) mod raw;
}

fn main() -> ExitCode {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo names our folder"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the output folder"));
    let states = root.join("../../states");
    println!("cargo::rerun-if-changed={}", states.display());
    match compile(&states) {
        Ok(code) => {
            fs::write(out.join("machines.rs"), code).expect("the output folder is writable");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in problems {
                println!("cargo::error={problem}");
            }
            ExitCode::FAILURE
        }
    }
}

/// All machines of the folder as Rust, in the order of their file names, or all that is wrong.
fn compile(folder: &Path) -> Result<String, Vec<String>> {
    let listing = fs::read_dir(folder).map_err(|error| vec![format!("states: {error}")])?;
    let mut files: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut code = String::new();
    let mut problems = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = format!("states/{name}");
        println!("cargo::rerun-if-changed={}", path.display());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(format!("{file}: {error}"));
                continue;
            }
        };
        match table::check::read(&text) {
            Ok(machine) => code.push_str(&table::generate::module(&file, &machine)),
            Err(found) => problems.extend(found.iter().map(|problem| problem.at(&file))),
        }
    }
    if problems.is_empty() { Ok(code) } else { Err(problems) }
}
