//! The picture of a machine for a Markdown page, as a Mermaid diagram: made from the same table as
//! everything else, so that it cannot be wrong. The status page draws its own from the view.

use std::fmt::Write as _;

use crate::machine::{Ending, Machine};

/// How many events are written on one line of an arrow.
const EVENTS_PER_LINE_COUNT: usize = 3;

/// A machine as a Mermaid state diagram. Transitions between the same two states share an arrow.
pub fn picture<M: Machine>() -> String {
    let mut text = String::from("stateDiagram-v2\n    direction LR\n");
    let mut line = |content: String| {
        writeln!(text, "    {content}").expect("a String takes all that is written");
    };
    line(format!("[*] --> {}", M::INITIAL));
    for from in M::STATES {
        for to in M::STATES {
            let events: Vec<String> = M::transitions()
                .iter()
                .filter(|transition| transition.from == *from && transition.to == *to)
                .map(|transition| transition.event.to_string())
                .collect();
            if !events.is_empty() {
                let lines: Vec<String> =
                    events.chunks(EVENTS_PER_LINE_COUNT).map(|chunk| chunk.join(", ")).collect();
                line(format!("{from} --> {to} : {}", lines.join("<br/>")));
            }
        }
    }
    for state in M::STATES {
        match state.row().ending {
            Some(Ending::Success | Ending::Failure) => line(format!("{state} --> [*]")),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;
    use crate::machine::{lifecycle, target};

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");

    #[test]
    fn a_picture_has_every_arrow_once() {
        let expected = "stateDiagram-v2
    direction LR
    [*] --> Unknown
    Unknown --> Up : Scraped
    Unknown --> Down : ScrapeFailed
    Unknown --> Dropped : Gone, Halted
    Up --> Up : Scraped
    Up --> Down : ScrapeFailed
    Up --> Stale : Gone
    Up --> Dropped : Halted
    Down --> Up : Scraped
    Down --> Down : ScrapeFailed
    Down --> Stale : Gone
    Down --> Dropped : Halted
    Stale --> Unknown : Returned
    Stale --> Dropped : MarkersWritten, Halted
    Dropped --> [*]
";
        assert_eq!(picture::<target::State>(), expected);
    }

    /// `UPDATE_EXPECT=1 cargo test -p prom-lifecycle` writes the picture anew.
    #[test]
    fn the_architecture_page_shows_the_lifecycle_as_it_is() {
        let begin = "<!-- lifecycle picture: begin -->\n";
        let end = "<!-- lifecycle picture: end -->\n";
        let page = fs::read_to_string(PAGE).unwrap();
        let (before, rest) = page.split_once(begin).expect("the page has a place for the picture");
        let (_, after) = rest.split_once(end).expect("the place for the picture ends");
        let picture = picture::<lifecycle::State>();
        let expected = format!("{before}{begin}```mermaid\n{picture}```\n{end}{after}");
        if page == expected {
            return;
        }
        assert!(
            env::var_os("UPDATE_EXPECT").is_some(),
            "src/ARCHITECTURE.md shows another lifecycle than states/lifecycle.yaml; run\n    \
             UPDATE_EXPECT=1 cargo test -p prom-lifecycle"
        );
        fs::write(PAGE, expected).unwrap();
    }
}
