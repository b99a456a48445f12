//! Where the next page of a list is. Pure: whoever asks for it is the client.

use prom_model::quote_go;
use serde_json::Value;
use url::Url;

/// How an API cuts a list into pages. Pointers are JSON pointers into what stands around the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// One answer holds all.
    Single,
    /// The address of the next page; empty, null or absent on the last one.
    Link { at: &'static str },
    /// A list of addresses, of which the one with `next` as its `rel` is that of the next page.
    Links { at: &'static str },
    /// A token for the next request; empty, null or absent on the last page.
    Cursor { at: &'static str, parameter: &'static str },
    /// The same in a header.
    CursorHeader { header: &'static str, parameter: &'static str },
    /// Numbered from 1; the answer tells how many pages there are.
    PageCount { at: &'static str, parameter: &'static str },
    /// Numbered from 1; the answer or its header tells how many elements there are.
    ElementCount { at: &'static str, header: &'static str, parameter: &'static str },
    /// Numbered from 1, until one is empty.
    UntilEmpty { parameter: &'static str },
}

/// What is known once a page has been read.
#[derive(Debug)]
pub(super) struct Page<'p> {
    /// Where it came from.
    pub(super) url: &'p Url,
    /// From 1.
    pub(super) number: u64,
    /// Elements on this page, and on all so far.
    pub(super) count: u64,
    pub(super) total_count: u64,
    /// What stands around the list.
    pub(super) around: &'p Value,
    /// For those that look at one.
    pub(super) header: Option<&'p str>,
}

impl Paging {
    /// The header that tells where the next page is.
    pub(super) fn header(self) -> Option<&'static str> {
        match self {
            Self::CursorHeader { header, .. } | Self::ElementCount { header, .. } => Some(header),
            _ => None,
        }
    }

    /// The address of the page after this one, if there is one.
    ///
    /// # Errors
    /// The answer names a next page that is none, or leads elsewhere: credentials stay with their host.
    pub(super) fn next(self, page: &Page<'_>) -> Result<Option<Url>, String> {
        let url = page.url;
        let text = |at: &str| match page.around.pointer(at) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let count = |at: &str| page.around.pointer(at).and_then(Value::as_u64).unwrap_or(0);
        let number = (page.number + 1).to_string();
        let parameter = match self {
            Self::Single => None,
            Self::Link { at } => return text(at).map(|link| follow(url, &link)).transpose(),
            Self::Links { at } => {
                let links = page.around.pointer(at).and_then(Value::as_array);
                let next = links.into_iter().flatten().find(|link| link["rel"] == "next");
                let link = next.and_then(|link| link["href"].as_str());
                return link.map(|link| follow(url, link)).transpose();
            }
            Self::Cursor { at, parameter } => text(at).map(|cursor| (parameter, cursor)),
            Self::CursorHeader { parameter, .. } => {
                let cursor = page.header.filter(|cursor| !cursor.is_empty());
                cursor.map(|cursor| (parameter, cursor.to_owned()))
            }
            Self::PageCount { at, parameter } => {
                (page.number < count(at)).then_some((parameter, number))
            }
            Self::ElementCount { at, parameter, .. } => {
                let told = page.header.and_then(|count| count.parse().ok());
                let has_more = page.count > 0 && page.total_count < told.unwrap_or(count(at));
                has_more.then_some((parameter, number))
            }
            Self::UntilEmpty { parameter } => (page.count > 0).then_some((parameter, number)),
        };
        let next = parameter.map(|(name, value)| with_parameter(url, name, &value));
        match next {
            Some(next) if next == *url => Err("the service names the same page again".to_owned()),
            next => Ok(next),
        }
    }
}

/// An address with one parameter set.
pub(super) fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let mut next = url.clone();
    let kept = url.query_pairs().filter(|(other, _)| other != name);
    let kept: Vec<(String, String)> =
        kept.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    next.query_pairs_mut().clear().extend_pairs(kept).append_pair(name, value);
    next
}

fn follow(url: &Url, link: &str) -> Result<Url, String> {
    let next = url.join(link).map_err(|error| format!("next page {}: {error}", quote_go(link)))?;
    if next.origin() != url.origin() {
        return Err(format!("next page {} is on another host", quote_go(link)));
    }
    if next == *url {
        return Err("the service names the same page again".to_owned());
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn next(paging: Paging, change: impl FnOnce(&mut Page<'_>)) -> Result<Option<String>, String> {
        let url = Url::parse("https://api.example/v2/list?per_page=2").unwrap();
        let around = json!({
            "links": {"next": "/v2/list?page=2", "self": "/v2/list?per_page=2", "away": "https://evil.example/", "none": ""},
            "meta": {"cursor": "b b", "next": 2, "pages": 3, "total": 5, "null": null},
        });
        let mut page =
            Page { url: &url, number: 1, count: 2, total_count: 2, around: &around, header: None };
        change(&mut page);
        paging.next(&page).map(|next| next.map(|url| url.to_string()))
    }

    #[test]
    fn pages_are_followed_in_all_their_ways() {
        let all = |query: &str| Ok(Some(format!("https://api.example/v2/list?{query}")));
        let plain = |_: &mut Page<'_>| {};
        assert_eq!(next(Paging::Single, plain), Ok(None));
        assert_eq!(next(Paging::Link { at: "/links/next" }, plain), all("page=2"));
        assert_eq!(next(Paging::Link { at: "/links/none" }, plain), Ok(None));
        assert_eq!(next(Paging::Link { at: "/links/absent" }, plain), Ok(None));
        let away = next(Paging::Link { at: "/links/away" }, plain).unwrap_err();
        assert_eq!(away, "next page \"https://evil.example/\" is on another host");
        let again = Err("the service names the same page again".to_owned());
        assert_eq!(next(Paging::Link { at: "/links/self" }, plain), again);
        let cursor = |at| Paging::Cursor { at, parameter: "c" };
        assert_eq!(next(cursor("/meta/cursor"), plain), all("per_page=2&c=b+b"));
        assert_eq!(next(cursor("/meta/next"), plain), all("per_page=2&c=2"));
        assert_eq!(next(cursor("/meta/null"), plain), Ok(None));
        let header = Paging::CursorHeader { header: "x-next", parameter: "c" };
        assert_eq!(next(header, |page| page.header = Some("t")), all("per_page=2&c=t"));
        assert_eq!(next(header, |page| page.header = Some("")), Ok(None));
        let pages = Paging::PageCount { at: "/meta/pages", parameter: "page" };
        assert_eq!(next(pages, plain), all("per_page=2&page=2"));
        assert_eq!(next(pages, |page| page.number = 3), Ok(None));
        let total =
            Paging::ElementCount { at: "/meta/total", header: "x-total", parameter: "page" };
        assert_eq!(next(total, |page| page.header = Some("2")), Ok(None));
        assert_eq!(next(total, plain), all("per_page=2&page=2"));
        assert_eq!(next(total, |page| page.total_count = 5), Ok(None));
        assert_eq!(next(total, |page| page.count = 0), Ok(None));
        let until = Paging::UntilEmpty { parameter: "page" };
        assert_eq!(next(until, |page| page.number = 7), all("per_page=2&page=8"));
        assert_eq!(next(until, |page| page.count = 0), Ok(None));
    }
}
