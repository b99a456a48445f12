//! The style sheet and the icon: compiled in, addressed by the hash of their content, cached for ever.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

const STYLE: &str = include_str!("../../../../templates/style.css");
const ICON: &str = include_str!("../../../../templates/icon.svg");

/// A year, and no question whether it has changed: another content has another address.
const FOREVER: &str = "public, max-age=31536000, immutable";

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| format!("style-{}.css", hash(STYLE)));
static ICON_NAME: LazyLock<String> = LazyLock::new(|| format!("icon-{}.svg", hash(ICON)));

pub(super) fn style_path() -> String {
    format!("/static/{}", *STYLE_NAME)
}

pub(super) fn icon_path() -> String {
    format!("/static/{}", *ICON_NAME)
}

/// `/static/*`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (content, content_type) = match name.as_str() {
        name if name == *STYLE_NAME => (STYLE, "text/css; charset=utf-8"),
        name if name == *ICON_NAME => (ICON, "image/svg+xml"),
        _ => return (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(FOREVER)),
    ];
    (headers, content).into_response()
}

/// `/favicon.ico`, which browsers ask for without having been told.
pub(super) async fn favicon() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"))], ICON).into_response()
}

/// FNV-1a: the content is ours, so that nobody can make two of one hash.
fn hash(content: &str) -> String {
    let hash = content.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
