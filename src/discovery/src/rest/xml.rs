//! Reads XML as trees of elements, those of one list one at a time. Names are taken without their
//! namespaces; documents that define entities of their own are not understood. What it means is up to the readers.

use prom_model::quote_go;
use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};

/// Elements in one tree.
const ELEMENT_COUNT_MAX: usize = 1 << 18;
/// Elements in each other.
const DEPTH_MAX: usize = 64;

/// One element with all that is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element<'t> {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Self>,
    /// Its own text, decoded.
    pub(crate) text: String,
    /// All between its tags, as it is written.
    pub(crate) inner: &'t str,
}

/// Takes the elements of a list.
type Each<'e, 't> = dyn FnMut(Element<'t>) -> Result<(), String> + Send + 'e;

/// An element that has begun.
struct Open<'t> {
    element: Element<'t>,
    inner_offset: usize,
    /// Elements that were known when it began.
    count: usize,
}

struct Builder<'p, 'e, 't> {
    text: &'t str,
    path: &'p [&'p str],
    each: &'p mut Each<'e, 't>,
    open: Vec<Open<'t>>,
    /// Elements that are kept at this moment.
    count: usize,
}

/// Hands each element at `path`, below the root, to `each`, and returns the root with all the others.
///
/// # Errors
/// The text is not XML, a tree is too large, or `each` refuses.
pub(crate) fn read_list<'t>(
    text: &'t [u8],
    path: &[&str],
    each: &mut Each<'_, 't>,
) -> Result<Element<'t>, String> {
    let text = std::str::from_utf8(text).map_err(|_| syntax("invalid UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let mut builder = Builder { text, path, each, open: Vec::new(), count: 0 };
    loop {
        let offset = reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|error| syntax(&error.to_string()))?;
        let end = reader.buffer_position() as usize;
        let root = match event {
            Event::Start(start) => builder.begin(&start, end).map(|()| None),
            Event::Empty(start) => builder.begin(&start, end).and_then(|()| builder.end(end)),
            Event::End(_) => builder.end(offset),
            Event::Text(text) => {
                builder.add(&text);
                Ok(None)
            }
            Event::CData(text) => {
                builder.add(&text);
                Ok(None)
            }
            Event::GeneralRef(reference) => resolve(&reference).map(|c| {
                builder.add(c.encode_utf8(&mut [0; 4]));
                None
            }),
            Event::Eof => Err("EOF".to_owned()),
            Event::Comment(_) | Event::Decl(_) | Event::DocType(_) | Event::PI(_) => Ok(None),
        };
        if let Some(root) = root? {
            return Ok(root);
        }
    }
}

impl<'t> Element<'t> {
    /// The first child of a name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child; empty if there is none.
    pub(crate) fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &child.text)
    }

    pub(crate) fn attribute(&self, name: &str) -> &str {
        let attribute = self.attributes.iter().find(|(other, _)| other == name);
        attribute.map_or("", |(_, value)| value)
    }
}

impl<'t> Builder<'_, '_, 't> {
    fn begin(&mut self, start: &BytesStart<'_>, inner_offset: usize) -> Result<(), String> {
        if self.open.len() >= DEPTH_MAX || self.count >= ELEMENT_COUNT_MAX {
            let limits = format!("limits: {ELEMENT_COUNT_MAX}, {DEPTH_MAX} deep");
            return Err(format!("too many XML elements in one place ({limits})"));
        }
        let name = start.local_name().as_ref().to_owned();
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| syntax(&error.to_string()))?;
            let value = quick_xml::escape::unescape(&attribute.value);
            let value = value.map_err(|error| syntax(&error.to_string()))?.into_owned();
            let name = attribute.key.local_name().as_ref().to_owned();
            attributes.push((name, value));
        }
        let element = Element { name, attributes, ..Element::default() };
        self.open.push(Open { element, inner_offset, count: self.count });
        self.count += 1;
        Ok(())
    }

    /// The root, if this was its end.
    fn end(&mut self, inner_end_offset: usize) -> Result<Option<Element<'t>>, String> {
        let Some(Open { mut element, inner_offset, count }) = self.open.pop() else {
            return Err(syntax("unexpected end element"));
        };
        element.inner = self.text.get(inner_offset..inner_end_offset).unwrap_or_default();
        let is_listed = self.is_listed(&element.name);
        match self.open.last_mut() {
            None => return Ok(Some(element)),
            Some(_) if is_listed => {
                self.count = count;
                (self.each)(element)?;
            }
            Some(parent) => parent.element.children.push(element),
        }
        Ok(None)
    }

    /// Whether an element in those that are open is one of the list.
    fn is_listed(&self, name: &str) -> bool {
        let Some((last, above)) = self.path.split_last() else { return false };
        let Some((_, open)) = self.open.split_first() else { return false };
        *last == name
            && above.len() == open.len()
            && above.iter().zip(open).all(|(name, open)| open.element.name == *name)
    }

    fn add(&mut self, text: &str) {
        if let Some(open) = self.open.last_mut() {
            open.element.text.push_str(text);
        }
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    let name: &str = reference;
    let known = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().map_err(|error| syntax(&error.to_string()))?,
    };
    known.ok_or_else(|| {
        syntax(&format!("invalid character entity {}", quote_go(&format!("&{name};"))))
    })
}

fn syntax(what: &str) -> String {
    format!("XML syntax error: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_elements_of_one_list_are_handed_out_and_the_rest_is_kept() {
        let text = b"<?xml version=\"1.0\"?><!-- c --><r xmlns='x'><l><i a='1&amp;2'>x &lt;<![CDATA[&]]>&#65;</i><i><k/></i></l><t>n</t></r>";
        let mut found = Vec::new();
        let root = read_list(text, &["l", "i"], &mut |element| {
            found.push(element);
            Ok(())
        });
        let root = root.unwrap();
        assert_eq!((root.name.as_str(), root.text_of("t"), root.children.len()), ("r", "n", 2));
        assert_eq!(root.child("l").unwrap().children, []);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].text.as_str(), found[0].attribute("a")), ("x <&A", "1&2"));
        assert_eq!(found[0].inner, "x &lt;<![CDATA[&]]>&#65;");
        assert_eq!(
            found[1].child("k"),
            Some(&Element { name: "k".to_owned(), ..Element::default() })
        );
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        let read = |text: &str| read_list(text.as_bytes(), &[], &mut |_| Ok(())).unwrap_err();
        assert_eq!(read(""), "EOF");
        assert_eq!(read("plain"), "EOF");
        assert_eq!(read("<a><b>"), "EOF");
        assert!(read("<a></b>").starts_with("XML syntax error: "));
        assert!(read("<a>&nope;</a>").contains("invalid character entity \"&nope;\""));
        assert!(read_list(b"<a>\xff</a>", &[], &mut |_| Ok(())).is_err());
        assert!(read(&"<a>".repeat(1 << 16)).starts_with("too many XML elements"));
        let wide = format!("<a>{}</a>", "<b/>".repeat(ELEMENT_COUNT_MAX));
        assert!(read(&wide).starts_with("too many XML elements"));
        let mut count = 0;
        let listed = read_list(wide.as_bytes(), &["b"], &mut |_| {
            count += 1;
            Ok(())
        });
        assert_eq!(listed.map(|root| (root.children.len(), count)), Ok((0, ELEMENT_COUNT_MAX)));
    }
}
