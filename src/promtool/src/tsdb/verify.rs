//! `tsdb verify`: everything is read once; what is damaged is named, each thing with its place.

use std::{fs, io, path::Path};

use anyhow::{Result, bail};
use prom_tsdb::{BlockInfo, Db};

use super::{args::Verify, open};
use crate::output::{err, out};

pub(super) fn run(options: &Verify) -> Result<()> {
    let db = open(&options.path)?;
    let mut damages_count = 0;
    let blocks = db.blocks();
    for block in &blocks {
        match db.verify_block(&block.id) {
            Ok(_) => out(&summary(block)),
            Err(reason) => {
                damages_count += 1;
                err(&format!("block {}: {reason}", block.id));
            }
        }
    }
    for name in unopened(&options.path, &blocks)? {
        damages_count += 1;
        err(&format!("block {name}: it cannot be opened"));
    }
    let damages = Db::verify_log(&options.path)?;
    damages.iter().for_each(|damage| err(&format!("log {damage}")));
    damages_count += damages.len();
    match damages_count {
        0 => Ok(()),
        1 => bail!("1 damaged part found"),
        count => bail!("{count} damaged parts found"),
    }
}

fn summary(block: &BlockInfo) -> String {
    let BlockInfo { id, series_count, chunks_count, samples_count, .. } = block;
    format!(
        "block {id}: {series_count} series, {chunks_count} chunks, {samples_count} samples: good"
    )
}

/// Directories that are named as blocks and were not opened.
fn unopened(dir: &Path, opened: &[BlockInfo]) -> io::Result<Vec<String>> {
    const NAME_SIZE: usize = 26;
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let is_block = name.len() == NAME_SIZE && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_block && opened.iter().all(|block| block.id != name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
