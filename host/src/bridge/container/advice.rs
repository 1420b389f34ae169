//! What to do about a program in a container that wants what it was not granted: a folder to write to,
//! or the network. It says so in its own words, by which it is known.

use std::sync::Arc;

use crate::{bridge::launch::Advice, config::ImageSource};

/// How programs say that they write to what is read-only.
const READ_ONLY: [&str; 3] = ["read-only file system", "erofs", "errno 30"];

/// How programs say that they reach nobody. Each names the network by itself: a refused connection
/// would be there with one too.
const NO_NETWORK: [&str; 12] = [
    "temporary failure in name resolution",
    "name or service not known",
    "nodename nor servname",
    "could not resolve host",
    "failed to lookup address",
    "getaddrinfo",
    "enotfound",
    "eai_again",
    "enetunreach",
    "network is unreachable",
    "network unreachable",
    "dns error",
];

/// What is to be said of a line, or of an answer, of a container of this image.
pub(super) fn of(server: &str, source: &ImageSource) -> Advice {
    let server = server.to_owned();
    let (writable, has_network) = (source.writable, source.network != "none");
    Arc::new(move |said: &str| {
        let said = said.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
        if !writable && has(&READ_ONLY) {
            return Some(format!(
                "its root file system is read-only: `scratch = [\"/root\", \"/home\", \"/var/cache\"]` in [server.{server}] lets it write to these folders, in memory; `writable = true` to all"
            ));
        }
        if !has_network && has(&NO_NETWORK) {
            return Some(format!("it has no network: `network = \"bridge\"` in [server.{server}] gives it one"));
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_lacks_something_is_told_the_key() {
        let image = ImageSource::default();
        let advice = of("s", &image);
        for said in [
            "OSError: [Errno 30] Read-only file system: '/root/.cache'",
            "  Caused by: failed to create directory `/root/.cache/uv`: Read-only file system (os error 30)",
            "Error: EROFS: read-only file system, mkdir '/home/node/.npm'",
        ] {
            assert!(advice(said).is_some_and(|advice| advice.contains("`writable = true`") && advice.contains("scratch")), "{said}");
        }
        for said in [
            "httpx.ConnectError: [Errno -3] Temporary failure in name resolution",
            "Error: getaddrinfo ENOTFOUND api.example.com",
            "curl: (6) Could not resolve host: example.com",
            "error sending request: dns error: failed to lookup address information",
            "connect ENETUNREACH 1.2.3.4:443",
        ] {
            assert!(advice(said).is_some_and(|advice| advice.contains("network = \"bridge\"")), "{said}");
        }
        assert_eq!(advice("INFO started"), None);
        let granted = of("s", &ImageSource { writable: true, network: "bridge".to_owned(), ..image });
        assert_eq!(granted("Read-only file system").or_else(|| granted("getaddrinfo ENOTFOUND x")), None);
    }
}
