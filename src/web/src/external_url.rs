//! How others reach this server: what `--web.external-url` says, completed by what is known.

use url::Url;

/// The external URL out of the flag, which may be a URL, a path, or empty; `own` is the address that
/// this server would guess for itself.
/// Compat: Prometheus `cmd/prometheus/main.go`, `computeExternalURL`; a path alone is completed here.
///
/// # Errors
/// The flag is no URL.
pub fn external_url(flag: &str, own: &str) -> Result<Url, String> {
    if flag.starts_with(['"', '\'']) || flag.ends_with(['"', '\'']) {
        return Err("URL must not begin or end with quotes".to_owned());
    }
    let guessed = Url::parse(own).map_err(|error| format!("parse {own:?}: {error}"))?;
    let url = match flag {
        "" => return Ok(guessed),
        path if path.starts_with('/') && !path.starts_with("//") => guessed.join(path),
        url => Url::parse(url),
    };
    match url {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(_) => Err(format!("{flag:?} is not an http or https URL with a host, nor a path")),
        Err(error) => Err(format!("parse {flag:?}: {error}")),
    }
}

/// The kernel's own word; `localhost` where it does not tell.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flag: &str, expected: Result<&str, &str>) {
        let url = external_url(flag, "http://host:9191/").map(|url| url.to_string());
        assert_eq!(url, expected.map(str::to_owned).map_err(str::to_owned), "{flag}");
    }

    #[test]
    fn flags_are_completed() {
        check("", Ok("http://host:9191/"));
        check("https://prom.example.org/x/", Ok("https://prom.example.org/x/"));
        check("/prometheus/", Ok("http://host:9191/prometheus/"));
        check("'http://a'", Err("URL must not begin or end with quotes"));
        check("prom.example.org", Err("parse \"prom.example.org\": relative URL without a base"));
        check("ftp://a/", Err("\"ftp://a/\" is not an http or https URL with a host, nor a path"));
    }
}
