//! The way from the top of a document to one of its nodes: `scrape_configs[0].relabel_configs[1].regex`.

use std::fmt;

/// A path as a chain on the stack: going down allocates nothing, only an error prints it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPath<'p> {
    step: Step<'p>,
    parent: Option<&'p KeyPath<'p>>,
}

/// One step down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'p> {
    Top,
    Key(&'p str),
    Index(usize),
}

impl<'p> KeyPath<'p> {
    pub(crate) const TOP: KeyPath<'static> = KeyPath { step: Step::Top, parent: None };

    pub(crate) fn key(&'p self, key: &'p str) -> Self {
        Self { step: Step::Key(key), parent: Some(self) }
    }

    pub(crate) fn index(&'p self, index: usize) -> Self {
        Self { step: Step::Index(index), parent: Some(self) }
    }

    /// The steps from the top, without it.
    pub(crate) fn steps(&self) -> Vec<Step<'p>> {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            if path.step != Step::Top {
                steps.push(path.step);
            }
            at = path.parent;
        }
        steps.reverse();
        steps
    }
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps().into_iter().enumerate() {
            match step {
                Step::Top => {}
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    if key.is_empty() || key.contains(['.', '[', ']', ' ', '"', '\n']) {
                        write!(f, "{key:?}")?;
                    } else {
                        f.write_str(key)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_as_keys_and_indexes() {
        let jobs = KeyPath::TOP.key("scrape_configs");
        let job = jobs.index(3);
        let labels = job.key("labels");
        assert_eq!(KeyPath::TOP.to_string(), "");
        assert_eq!(job.to_string(), "scrape_configs[3]");
        assert_eq!(labels.key("a.b").to_string(), "scrape_configs[3].labels.\"a.b\"");
        assert_eq!(labels.steps().len(), 3);
    }
}
