//! First byte of the query page on an idle server, a connection for each request.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::Result;

use crate::{
    contender::{Contender, Kind, now},
    report,
};

const REQUEST_COUNT: usize = 200;
const CONFIG: &str = "global: {scrape_interval: 1s}\nscrape_configs: []\n";

pub(crate) fn run() -> Result<()> {
    let kinds = Kind::available(&[Kind::Ours, Kind::Original]);
    let mut all = Vec::new();
    for kind in &kinds {
        let contender = Contender::start(*kind, CONFIG)?;
        let mut times = Vec::new();
        for _ in 0..REQUEST_COUNT {
            times.push(first_byte_ms(&contender, "/query?g0.expr=up&g0.tab=table")?);
        }
        all.push(times);
    }
    report::line("first byte of /query with an expression: minimum, median, maximum");
    report::line("(the original sends the shell of a program; the browser has yet to run it)");
    let original = kinds.iter().position(|kind| *kind == Kind::Original);
    let original = original.map(|index| report::median(&all[index]));
    for (kind, times) in kinds.iter().zip(&all) {
        report::row(kind.name(), "ms", times, original);
    }
    Ok(())
}

fn first_byte_ms(contender: &Contender, path: &str) -> Result<f64> {
    let begin = now();
    let mut stream = TcpStream::connect(&contender.address)?;
    let address = &contender.address;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let elapsed = begin.elapsed();
    drop(stream.read_to_end(&mut Vec::new()));
    Ok(elapsed.as_secs_f64() * 1000.0)
}
