//! Collects pairs in any order. Reused, it allocates nothing but the finished sets.

use super::{Labels, push_string};

/// Pairs on their way to becoming [`Labels`]. All text lies in one buffer that is kept from set to set.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    text: String,
    pairs: Vec<Pair>,
    encoded: Vec<u8>,
}

/// Where name and value stand in the text.
#[derive(Clone, Copy, Debug)]
struct Pair {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    size: usize,
}

impl LabelsBuilder {
    /// Starts from an existing set.
    pub fn from_labels(labels: &Labels) -> Self {
        let mut builder = Self::default();
        builder.reset(labels);
        builder
    }

    /// The value of `name`, empty if it is not set.
    pub fn get(&self, name: &str) -> &str {
        self.position(name).map_or("", |at| self.slice(self.pairs[at].value))
    }

    /// Whether `name` is set, or was appended with an empty value.
    pub fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Pairs as they were added, until something sorts them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|pair| (self.slice(pair.name), self.slice(pair.value)))
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Forgets all pairs.
    pub fn clear(&mut self) -> &mut Self {
        self.text.clear();
        self.pairs.clear();
        self
    }

    /// Starts again from an existing set.
    pub fn reset(&mut self, labels: &Labels) -> &mut Self {
        self.clear();
        for (name, value) in labels {
            self.append(name, value);
        }
        self
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self.remove(name);
        }
        match self.position(name) {
            Some(at) => self.pairs[at].value = self.push(value),
            None => return self.append(name, value),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        if let Some(at) = self.position(name) {
            self.pairs.remove(at);
        }
        self
    }

    /// Adds a pair without looking whether the name is there already: cheap for readers of foreign input, who then
    /// ask for a [`LabelsBuilder::duplicate_name`]. An empty value keeps the name out of the finished set.
    pub fn append(&mut self, name: &str, value: &str) -> &mut Self {
        let pair = Pair { name: self.push(name), value: self.push(value) };
        self.pairs.push(pair);
        self
    }

    /// A name that was appended more than once.
    pub fn duplicate_name(&mut self) -> Option<&str> {
        self.sort();
        let mut pairs = self.pairs.windows(2);
        let twice = pairs.find(|two| self.slice(two[0].name) == self.slice(two[1].name))?;
        Some(self.slice(twice[0].name))
    }

    /// The finished set.
    pub fn build(mut self) -> Labels {
        self.labels()
    }

    /// The finished set; the builder keeps its pairs and its memory.
    pub fn labels(&mut self) -> Labels {
        self.sort();
        let Self { text, pairs, encoded } = self;
        let slice = |span: Span| &text[span.start..span.start + span.size];
        encoded.clear();
        for (at, pair) in pairs.iter().enumerate() {
            // I1: of equal names the one that was appended last counts, and an empty value is none.
            let is_last = pairs.get(at + 1).is_none_or(|next| slice(next.name) != slice(pair.name));
            if is_last && pair.value.size > 0 {
                push_string(encoded, slice(pair.name).as_bytes());
                push_string(encoded, slice(pair.value).as_bytes());
            }
        }
        Labels { data: encoded.as_slice().into() }
    }

    fn sort(&mut self) {
        let text = &self.text;
        let key = |pair: &Pair| {
            let Span { start, size } = pair.name;
            (&text[start..start + size], start)
        };
        self.pairs.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.pairs.iter().position(|pair| self.slice(pair.name) == name)
    }

    fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span { start, size: text.len() }
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[span.start..span.start + span.size]
    }
}
