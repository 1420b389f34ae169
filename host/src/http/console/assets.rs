//! The files of the page, embedded in the binary, and the headers under which they are sent.

use std::sync::{Arc, LazyLock};

use axum::{Router, body::Body, extract::State, middleware::from_fn_with_state, routing::get};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::http::{
    admission::Admission,
    answer,
    guards::{Reach, guard, wrong_method},
};

/// Nothing but what this server sends, and nothing that is made of a string. Images and sounds of results come as `data:`.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src data:; font-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    // A new version of the host has another page at the same address.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

struct Asset {
    /// Below `/console/`.
    name: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        /// All but the page itself. None is named as the last part of a provider's routes: `mcp`, `tools`, `call`.
        const ASSETS: &[Asset] = &[$(Asset { name: $name, content: include_bytes!(concat!("web/", $name)) }),+];
    };
}

assets! {
    "app.css", "app.js", "api.js", "calls.js", "config.js", "form.js", "icon.svg", "live.js", "lock.js", "log.js", "mcp.js", "models.js", "overview.js", "plot.js", "present.js",
    "result.js", "roles.js", "servers.js", "tools.js", "try.js", "ui.js", "vendor/htm-preact.js", "vendor/uplot.css", "vendor/uplot.js",
    "vendor/LICENSES.txt",
}

const PAGE: Asset = Asset { name: "index.html", content: include_bytes!("web/index.html") };

/// Entity tags by the file's place in [`ASSETS`], the page's at the end.
static TAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let tag = |asset: &Asset| {
        let hash = blake3::hash(asset.content).to_hex();
        HeaderValue::try_from(format!("\"{}\"", hash.get(..16).unwrap_or_default())).unwrap_or(HeaderValue::from_static("\"\""))
    };
    ASSETS.iter().chain([&PAGE]).map(tag).collect()
});

/// The routes of the files. What lies below `vendor/` has three segments, the rest two.
pub(super) fn router(admission: &Arc<Admission>) -> Router {
    let page = get(move |headers: HeaderMap| async move { send(ASSETS.len(), &headers) });
    let mut router = Router::new().route("/console", page.fallback(wrong_method)).route("/console/", get(to_page));
    for (place, asset) in ASSETS.iter().enumerate() {
        let file = get(move |State(()): State<()>, headers: HeaderMap| async move { send(place, &headers) });
        router = router.route(&format!("/console/{}", asset.name), file.fallback(wrong_method));
    }
    router.route_layer(from_fn_with_state((Arc::clone(admission), Reach::Ours), guard))
}

/// The page's links go from `/console`.
async fn to_page() -> Response<Body> {
    let response = answer::text(StatusCode::PERMANENT_REDIRECT, "the console is at /console\n");
    answer::with(response, header::LOCATION, HeaderValue::from_static("../console"))
}

fn send(place: usize, asked: &HeaderMap) -> Response<Body> {
    let asset = ASSETS.get(place).unwrap_or(&PAGE);
    let tag = TAGS.get(place).cloned().unwrap_or(HeaderValue::from_static("\"\""));
    let is_known = answer::names_tag(asked, |known| tag.to_str().is_ok_and(|tag| tag.trim_matches('"') == known));
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(content(asset)) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(asset.name)));
    headers.insert(header::ETAG, tag);
    response
}

/// As it was embedded. While it is being written, a debug build reads it from the folder that `TOOLBAY_CONSOLE_WEB` names.
fn content(asset: &Asset) -> Bytes {
    #[cfg(debug_assertions)]
    if let Some(folder) = std::env::var_os("TOOLBAY_CONSOLE_WEB")
        && let Ok(content) = std::fs::read(std::path::Path::new(&folder).join(asset.name))
    {
        return content.into();
    }
    Bytes::from_static(asset.content)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn files(folder: &Path, below: &str, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                files(&entry.path(), &format!("{name}/"), into);
            } else {
                into.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let mut there = BTreeSet::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/console/web"), "", &mut there);
        let served: BTreeSet<String> = ASSETS.iter().chain([&PAGE]).map(|asset| asset.name.to_owned()).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn no_file_hides_a_route_of_a_provider_that_is_called_console() {
        assert!(ASSETS.iter().all(|asset| !["mcp", "tools", "call"].contains(&asset.name)));
    }

    #[test]
    fn what_the_page_loads_comes_from_here() {
        for asset in ASSETS.iter().chain([&PAGE]).filter(|asset| !asset.name.starts_with("vendor/")) {
            let text = std::str::from_utf8(asset.content).unwrap();
            for (at, _) in text.match_indices("://") {
                let before = text[..at].rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
                let after: String = text[at + 3..].chars().take(24).collect();
                assert!(before == "http" && after.starts_with("www.w3.org/"), "{} names {before}://{after}", asset.name);
            }
        }
    }
}
