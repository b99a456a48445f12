//! Mistakes with the lines they stand in. A line that may hold a secret is not shown.

use prom_config::{ConfigError, ConfigErrors, Sources};

/// Longest line that is shown whole, in characters.
const SHOWN_LINE_CHARS_MAX: usize = 160;
/// Words of keys whose values are not for everybody.
const DELICATE_WORDS: [&str; 12] = [
    "auth",
    "bearer",
    "credential",
    "header",
    "key",
    "pass",
    "secret",
    "token",
    "url",
    "user",
    "server",
    "binary",
];

/// The refusal as the library words it, each mistake followed by its line and a mark under its column.
pub(crate) fn with_excerpts(errors: &ConfigErrors, sources: &Sources) -> String {
    let mut text = errors.first_line();
    for error in &errors.errors {
        let file = error.file.as_deref().unwrap_or(&errors.file);
        text.push_str(&format!("\n{}:{error}", file.display()));
        let source = sources.texts().iter().find(|source| source.path == file);
        let source = source.and_then(|source| std::str::from_utf8(&source.bytes).ok());
        if let Some(line) = source.and_then(|source| line_of(source, error)) {
            let number = error.line.to_string();
            let indent = " ".repeat(number.len());
            let before: String = line
                .chars()
                .take(error.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            text.push_str(&format!("\n  {number} | {line}\n  {indent} | {before}^"));
        }
    }
    text
}

fn line_of<'s>(source: &'s str, error: &ConfigError) -> Option<&'s str> {
    let line = source.lines().nth(error.line.checked_sub(1)?)?;
    let is_long = line.chars().nth(SHOWN_LINE_CHARS_MAX).is_some();
    let is_delicate = |text: &str| {
        let text = text.to_ascii_lowercase();
        DELICATE_WORDS.iter().any(|word| text.contains(word))
    };
    let is_shown = !is_long && !is_delicate(line) && !is_delicate(&error.key_path);
    is_shown.then_some(line)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prom_config::load;

    use super::*;

    fn shown(text: &str) -> String {
        let mut sources = Sources::with_text(Path::new("p.yml"), text.as_bytes());
        let errors = load(Path::new("p.yml"), &mut sources).unwrap_err();
        with_excerpts(&errors, &sources)
    }

    #[test]
    fn a_mistake_is_shown_with_its_line() {
        assert_eq!(
            shown("global:\n  scrape_intervall: 5s\n"),
            "parsing YAML file p.yml: yaml: unmarshal errors:\n  \
             line 2: field scrape_intervall not found in type config.plain\n\
             p.yml:2:3: global.scrape_intervall: field scrape_intervall not found in type config.plain (did you mean scrape_interval?)\n  \
             2 |   scrape_intervall: 5s\n    \
             |   ^"
        );
    }

    #[test]
    fn lines_with_secrets_are_not_shown() {
        let cases = [
            "scrape_configs: [{job_name: a, basic_auth: {password: [hunter2]}}]",
            "scrape_configs:\n- job_name: a\n  authorization:\n    credentials: {x: hunter2}\n",
            "scrape_configs:\n- job_name: a\n  http_headers:\n    x:\n      secrets: hunter2\n",
        ];
        for text in cases {
            assert!(!shown(text).contains("hunter2"), "{}", shown(text));
        }
    }
}
