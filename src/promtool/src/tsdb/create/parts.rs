//! OpenMetrics text of any size, a part of it at a time: parts end with a line, and each is read as if it
//! were all there is. A sample stands on one line in this format, so none is torn.

use std::{fs::File, io::Read};

use anyhow::{Context, Result, bail};
use prom_exposition::text::{Dialect, Entry, Parser, Sample};
use prom_model::MetricType;

/// Bytes that are read at once; a part is larger only where a line is.
const PART_SIZE_BYTES: usize = 4 << 20;
/// Longest line.
const LINE_SIZE_BYTES_MAX: usize = 64 << 20;
/// What every text ends with.
const END: &[u8] = b"# EOF\n";

/// Calls `each` for every sample of a file that was just opened, with the parser that can take its series apart, and the type
/// that was told for it.
///
/// # Errors
/// The file cannot be read, is no OpenMetrics text, or `each` fails.
pub(super) fn for_each_sample(
    mut file: File,
    mut each: impl for<'a> FnMut(&mut Parser<'a>, &Sample<'a>, MetricType) -> Result<()>,
) -> Result<()> {
    let (mut rest, mut part) = (Vec::new(), Vec::new());
    let mut declared = MetricType::Unknown;
    let mut lines_count = 0;
    let mut is_over = false;
    loop {
        let is_last = read_more(&mut file, &mut rest)?;
        if is_over && !rest.is_empty() {
            bail!("next: unexpected data after # EOF");
        }
        if is_over {
            return Ok(());
        }
        let whole_lines = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let size = if is_last { rest.len() } else { whole_lines };
        part.clear();
        part.extend(rest.drain(..size));
        if rest.len() > LINE_SIZE_BYTES_MAX {
            bail!("next: a line is longer than {LINE_SIZE_BYTES_MAX} bytes");
        }
        is_over = part.ends_with(b"\n# EOF\n") || part == END;
        if !is_last && !is_over {
            part.extend_from_slice(END);
        }
        let mut parser = Parser::new(&part, Dialect::OpenMetrics);
        loop {
            match parser.next_entry() {
                Ok(Some(Entry::Sample(sample))) => each(&mut parser, &sample, declared)?,
                Ok(Some(Entry::Type { metric_type, .. })) => declared = metric_type,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(err) => {
                    bail!("next: {} (line {})", err.message(), lines_count + err.line());
                }
            }
        }
        if is_last {
            return Ok(());
        }
        lines_count += part[..size].iter().filter(|byte| **byte == b'\n').count();
    }
}

/// Reads on; says whether the file has ended.
fn read_more(file: &mut File, rest: &mut Vec<u8>) -> Result<bool> {
    let size = file.take(PART_SIZE_BYTES as u64).read_to_end(rest).context("read")?;
    Ok(size < PART_SIZE_BYTES)
}
