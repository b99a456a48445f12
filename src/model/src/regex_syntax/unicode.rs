//! Classes by Unicode category and script: `\pL`, `\p{Greek}`, `\P{^Lu}`.
//! Names are exact, as in the reference; the tables are those of `regex-syntax`.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, ClassUnicode, HirKind},
};

use super::{RegexError, RegexErrorCode};

/// Categories that Go knows.
const CATEGORIES: [&str; 38] = [
    "C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me",
    "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk",
    "Sm", "So", "Z", "Zl", "Zp", "Zs",
];
/// Scripts of four letters; all other names of four letters are codes, which Go does not know.
const SHORT_SCRIPTS: [&str; 9] =
    ["Ahom", "Cham", "Kawi", "Lisu", "Miao", "Modi", "Newa", "Thai", "Toto"];

/// The class at the beginning of `text` and how long its name is; `None` if it begins with something else.
pub(super) fn class(
    text: &str,
    fold_case: bool,
) -> Result<Option<(ClassUnicode, usize)>, RegexError> {
    let Some(after) = text.strip_prefix("\\p").or_else(|| text.strip_prefix("\\P")) else {
        return Ok(None);
    };
    let invalid = |size: usize| RegexErrorCode::InvalidCharRange.at(&text[..size]);
    let (name, size) = match after.strip_prefix('{') {
        Some(inside) => {
            let end = inside.find('}').ok_or_else(|| invalid(text.len()))?;
            (&inside[..end], "\\p{}".len() + end)
        }
        None => {
            let size = after.chars().next().map_or(0, char::len_utf8);
            (&after[..size], "\\p".len() + size)
        }
    };
    let plain = name.strip_prefix('^');
    let is_negated = text.starts_with("\\P") != plain.is_some();
    let mut class = table(plain.unwrap_or(name)).ok_or_else(|| invalid(size))?;
    if fold_case {
        class.case_fold_simple();
    }
    if is_negated {
        class.negate();
    }
    Ok(Some((class, size)))
}

fn table(name: &str) -> Option<ClassUnicode> {
    let query = match name {
        "Any" => "\\p{any}".to_owned(),
        // Surrogates are in no text.
        "Cs" => return Some(ClassUnicode::empty()),
        "LC" => "[\\p{Lu}\\p{Ll}\\p{Lt}]".to_owned(),
        _ if CATEGORIES.contains(&name) => format!("\\p{{gc={name}}}"),
        _ if is_script_name(name) => format!("\\p{{sc={name}}}"),
        _ => return None,
    };
    let hir = ParserBuilder::new().build().parse(&query).ok()?;
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        _ => None,
    }
}

/// Whether a name is spelled as scripts are, such as `Old_Italic`; whether there is such a script, the table knows.
fn is_script_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().skip(1).all(|c| c.is_ascii_lowercase())
    };
    name == "SignWriting"
        || (name.split('_').all(is_word) && (name.len() != 4 || SHORT_SCRIPTS.contains(&name)))
}
