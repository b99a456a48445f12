//! A generation, or the refusals, as a state file. What the files mean is known one level up.

use std::{path::Path, sync::Arc};

use prom_statefile::{Kind, StateFileError, StateReader, StateWriter};

use crate::SourceText;

use super::{Generation, Rejection};

/// Of one generation: its value, then each text as bytes, in the order of its files.
const GENERATION: Kind =
    Kind { magic: *b"PROMGENR", version: 1, payload_size_bytes_max: 256 << 20 };
/// A list of refusals, then the path of the last refused text (empty if there is none) and the text.
const REJECTIONS: Kind = Kind { magic: *b"PROMREJC", version: 1, payload_size_bytes_max: 8 << 20 };

/// A generation with its texts as bytes.
type Record = (Generation, Vec<Vec<u8>>);
/// Refusals, and the text that was refused last.
type Refusals = (Vec<Rejection>, Option<SourceText>);

pub(super) fn write_generation(
    path: &Path,
    generation: &Generation,
    texts: &[SourceText],
) -> Result<(), StateFileError> {
    let mut writer = StateWriter::create(path, GENERATION)?;
    writer.value(generation)?;
    for text in texts {
        writer.bytes(&text.bytes)?;
    }
    writer.finish()
}

/// The generation without its texts, once all of the file is known to be good.
pub(super) fn read_generation(path: &Path) -> Result<Option<Generation>, StateFileError> {
    Ok(read(path)?.map(|(generation, _)| generation))
}

pub(super) fn read_texts(path: &Path) -> Result<Vec<SourceText>, StateFileError> {
    let Some((generation, texts)) = read(path)? else { return Ok(Vec::new()) };
    let files = generation.files.into_iter().zip(texts);
    Ok(files.map(|(file, bytes)| SourceText { path: file.path, bytes: bytes.into() }).collect())
}

fn read(path: &Path) -> Result<Option<Record>, StateFileError> {
    let Some(mut reader) = StateReader::open(path, GENERATION)? else { return Ok(None) };
    let generation: Generation = reader.value()?;
    let texts = generation.files.iter().map(|_| reader.bytes()).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(Some((generation, texts)))
}

pub(super) fn write_rejections<'r>(
    path: &Path,
    rejections: impl Iterator<Item = &'r Arc<Rejection>>,
    text: Option<&SourceText>,
) -> Result<(), StateFileError> {
    let mut writer = StateWriter::create(path, REJECTIONS)?;
    writer.value(&rejections.collect::<Vec<_>>())?;
    writer.value(&text.map(|text| &text.path))?;
    writer.bytes(text.map_or(&[], |text| &text.bytes))?;
    writer.finish()
}

pub(super) fn read_rejections(path: &Path) -> Result<Option<Refusals>, StateFileError> {
    let Some(mut reader) = StateReader::open(path, REJECTIONS)? else { return Ok(None) };
    let rejections = reader.value()?;
    let path: Option<std::path::PathBuf> = reader.value()?;
    let bytes = reader.bytes()?;
    reader.finish()?;
    Ok(Some((rejections, path.map(|path| SourceText { path, bytes: bytes.into() }))))
}
