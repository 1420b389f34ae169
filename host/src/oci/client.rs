//! The distribution protocol as a client: manifests and blobs, bounded and held against their
//! digests, both ways.

use std::{fmt, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::{RequestBuilder, Response, redirect::Policy};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::{
    artifact::{ACCEPTED, Descriptor, INDEX, RawManifest, Referrer, referrers},
    authorize::{Authorizer, Scope},
    body::{bounded, said},
    credentials,
    digest::{Hasher, sha256},
    error::RegistryError,
};
use crate::{
    config::{OciReference, RegistryConfig, is_digest},
    tls::{self, cause},
};

const USER_AGENT: &str = concat!("toolbay/", env!("CARGO_PKG_VERSION"));
/// A connection that is not there by then is not going to be.
const CONNECT: Duration = Duration::from_secs(10);
/// A registry that sends nothing for so long has stopped.
const SILENCE: Duration = Duration::from_secs(30);
/// Largest manifest: the least that registries have to take (OCI Distribution Specification).
const MAX_MANIFEST: usize = 4 << 20;
/// Of what a registry says of an error.
const MAX_ERROR: usize = 16 << 10;
/// As many redirects as browsers follow.
const REDIRECTS: usize = 10;

/// One repository of a registry, and how to talk to it.
pub struct Registry {
    http: reqwest::Client,
    /// `https://ghcr.io/v2/acme/weather`.
    base: String,
    /// The host as it was named, for messages.
    host: String,
    config_key: String,
    is_plain: bool,
    authorizer: Authorizer,
}

impl Registry {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The authority's file or the credentials cannot be used.
    pub async fn open(reference: &OciReference, config: &RegistryConfig) -> Result<Self, RegistryError> {
        let login = credentials::find(reference, config).await?;
        let is_plain = config.insecure.unwrap_or_else(|| config.ca.is_none() && is_loopback(&reference.registry));
        let authorities = match &config.ca {
            None => Vec::new(),
            Some(path) => authorities(path)?,
        };
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
                .referer(false)
                .no_gzip()
                .redirect(redirects(is_plain));
            // What is on this machine is not behind the proxy of the environment.
            let builder = if is_loopback(&reference.registry) { builder.no_proxy() } else { builder };
            if authorities.is_empty() { builder } else { builder.tls_certs_merge(authorities.clone()) }
        };
        let no_https = |why: &str| tracing::warn!("no https: {why}; install ca-certificates or set SSL_CERT_FILE");
        let http = tls::client(builder, no_https).map_err(|error| format!("cannot prepare connections: {}", cause(&error)))?;
        let (host, repository) = place_of(reference);
        let scheme = if is_plain { "http" } else { "https" };
        Ok(Self {
            base: format!("{scheme}://{host}/v2/{repository}"),
            host: reference.registry.clone(),
            config_key: format!("[registry.{:?}]", reference.registry),
            is_plain,
            authorizer: Authorizer::new(http.clone(), login, repository, is_plain),
            http,
        })
    }

    /// What a tag or a digest names.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be had, or is not what its digest says.
    pub async fn manifest(&self, asked: &str) -> Result<RawManifest, RegistryError> {
        let url = format!("{}/manifests/{asked}", self.base);
        let answer = self.send(Scope::Pull, || self.http.get(&url).header(header::ACCEPT, ACCEPTED)).await?;
        let answer = self.checked(answer, &format!("the manifest {asked}"), &[StatusCode::OK]).await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (media_type, said) = (header("content-type"), header("docker-content-digest"));
        let bytes = bounded(answer, MAX_MANIFEST).await.map_err(|why| self.failed(&format!("the manifest {asked}"), &why))?;
        let digest = sha256(&bytes);
        let wanted = if is_digest(asked) { Some(asked) } else { said.as_deref().filter(|said| is_digest(said)) };
        match wanted {
            Some(wanted) if wanted != digest => Err(self.lied(&format!("the manifest {asked}"), wanted, &digest)),
            _ => Ok(RawManifest { bytes, digest, media_type }),
        }
    }

    /// What refers to a manifest: as the registry lists it, or where it keeps no such lists, in the
    /// tag that stands for one (OCI Distribution Specification).
    ///
    /// # Errors
    ///
    /// It cannot be had. Where there is nothing, the list is empty.
    pub(super) async fn referrers(&self, digest: &str, tag: &str) -> Result<Vec<Referrer>, RegistryError> {
        let url = format!("{}/referrers/{digest}", self.base);
        let answer = self.send(Scope::Pull, || self.http.get(&url).header(header::ACCEPT, INDEX)).await?;
        let is_list = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(INDEX.as_bytes()));
        // Registries without it answer in many ways.
        if answer.status() == StatusCode::OK && is_list {
            let what = format!("what refers to {digest}");
            return referrers(&bounded(answer, MAX_MANIFEST).await.map_err(|why| self.failed(&what, &why))?);
        }
        match self.manifest(tag).await {
            Ok(raw) => referrers(&raw.bytes),
            Err(error) if error.is_missing => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Gets a blob of at most so many bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::manifest`].
    pub(super) async fn blob(&self, blob: &Descriptor, most: u64) -> Result<Vec<u8>, RegistryError> {
        if blob.size > most {
            return Err(self.failed(&format!("the blob {}", blob.digest), &format!("it has {} bytes, and {most} are allowed", blob.size)));
        }
        let (mut bytes, mut pieces) = (Vec::new(), self.pieces(blob).await?);
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Gets a blob into a file, which holds exactly what the digest says when this is done without
    /// an error.
    ///
    /// # Errors
    ///
    /// As [`Self::manifest`], or the file cannot be written.
    pub(super) async fn blob_into(&self, blob: &Descriptor, path: &Path) -> Result<(), RegistryError> {
        let failed = |error: std::io::Error| {
            format!("cannot write {}: {error}; choose another folder by `registry_cache` in [host]", path.display())
        };
        let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
        let mut pieces = self.pieces(blob).await?;
        while let Some(piece) = pieces.next().await? {
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok(())
    }

    /// Begins to get a blob.
    async fn pieces(&self, blob: &Descriptor) -> Result<Pieces<'_>, RegistryError> {
        let what = format!("the blob {}", blob.digest);
        let url = format!("{}/blobs/{}", self.base, blob.digest);
        let answer = self.send(Scope::Pull, || self.http.get(&url)).await?;
        let answer = self.checked(answer, &what, &[StatusCode::OK]).await?;
        Ok(Pieces { registry: self, what, digest: blob.digest.clone(), size: blob.size, answer, hasher: Hasher::new(), got: 0 })
    }

    /// Puts a blob there, unless it is.
    ///
    /// # Errors
    ///
    /// The registry does not take it.
    pub(super) async fn put_blob(&self, digest: &str, bytes: &Bytes) -> Result<(), RegistryError> {
        let what = format!("the blob {digest}");
        let url = format!("{}/blobs/{digest}", self.base);
        if self.send(Scope::Push, || self.http.head(&url)).await?.status() == StatusCode::OK {
            return Ok(());
        }
        let url = format!("{}/blobs/uploads/", self.base);
        let answer = self.send(Scope::Push, || self.http.post(&url).header(header::CONTENT_LENGTH, 0)).await?;
        let answer = self.checked(answer, &what, &[StatusCode::ACCEPTED]).await?;
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| answer.url().join(location).ok());
        let mut target = target.ok_or_else(|| self.failed(&what, &"the registry does not say where to send it"))?;
        target.query_pairs_mut().append_pair("digest", digest);
        let put = |target: &Url| self.http.put(target.clone()).header(header::CONTENT_TYPE, "application/octet-stream").body(bytes.clone());
        // A place that is elsewhere has its own way of knowing who may write there, in its address.
        let is_here = Url::parse(&self.base).is_ok_and(|base| base.origin() == target.origin());
        let answer = if is_here {
            self.send(Scope::Push, || put(&target)).await?
        } else {
            put(&target).send().await.map_err(|error| self.unreachable(&error))?
        };
        self.checked(answer, &what, &[StatusCode::CREATED]).await.map(drop)
    }

    /// Puts a manifest there, under a tag or its digest.
    ///
    /// # Errors
    ///
    /// The registry does not take it.
    pub(super) async fn put_manifest(&self, name: &str, media_type: &str, bytes: &Bytes) -> Result<(), RegistryError> {
        let url = format!("{}/manifests/{name}", self.base);
        let put = || self.http.request(Method::PUT, &url).header(header::CONTENT_TYPE, media_type).body(bytes.clone());
        let answer = self.send(Scope::Push, put).await?;
        self.checked(answer, &format!("the manifest {name}"), &[StatusCode::CREATED, StatusCode::OK]).await.map(drop)
    }

    /// Sends a request, once more where the registry wants to know first who asks.
    async fn send(&self, scope: Scope, request: impl Fn() -> RequestBuilder) -> Result<Response, RegistryError> {
        let with = |headers: HeaderMap| request().headers(headers);
        let answer = with(self.authorizer.headers(scope)).send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let again = self.authorizer.answer(answer.headers(), scope).await.map_err(|why| self.failed("who asks", &why))?;
        match again {
            true => with(self.authorizer.headers(scope)).send().await.map_err(|error| self.unreachable(&error)),
            false => Ok(answer),
        }
    }

    async fn checked(&self, answer: Response, what: &str, good: &[StatusCode]) -> Result<Response, RegistryError> {
        let status = answer.status();
        if good.contains(&status) {
            return Ok(answer);
        }
        let said = said(&bounded(answer, MAX_ERROR).await.unwrap_or_default());
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!("; it was asked with {}", self.authorizer.from()),
            StatusCode::BAD_REQUEST if self.is_plain && said.contains("HTTPS") => {
                format!("; it speaks HTTPS: set insecure = false, or `ca`, in {}", self.config_key)
            }
            _ => String::new(),
        };
        let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
        if status == StatusCode::NOT_FOUND {
            let (host, what, repository) = (&self.host, what.trim_start_matches("the "), self.authorizer.repository());
            return Err(RegistryError { message: format!("registry {host} has no {what} of {repository}{said}"), is_missing: true });
        }
        Err(self.failed(what, &format!("the answer is {status}{said}{hint}")))
    }

    fn failed(&self, what: &str, why: &dyn fmt::Display) -> RegistryError {
        RegistryError::new(format_args!("registry {}: {what}: {why}", self.host))
    }

    fn lied(&self, what: &str, wanted: &str, got: &str) -> RegistryError {
        self.failed(what, &format!("what was sent has another digest, {got}, so it is not used (wanted: {wanted})"))
    }

    fn unreachable(&self, error: &reqwest::Error) -> RegistryError {
        let why = cause(error);
        let hint = if why.contains("certificate") {
            format!("; name the authority of its certificate by `ca` in {}", self.config_key)
        } else if why.contains("InvalidContentType") || why.contains("corrupt message") {
            format!("; it seems to speak plain HTTP, which insecure = true in {} allows", self.config_key)
        } else {
            String::new()
        };
        RegistryError::new(format_args!("registry {} cannot be reached: {why}{hint}", self.host))
    }
}

/// A blob that is on its way.
struct Pieces<'a> {
    registry: &'a Registry,
    what: String,
    digest: String,
    size: u64,
    answer: Response,
    hasher: Hasher,
    got: u64,
}

impl Pieces<'_> {
    /// The next piece. None: all was there, and is what the digest says.
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let Self { registry, what, size, got, .. } = self;
        let broke = |error: reqwest::Error| registry.failed(what, &format!("it broke off after {got} of {size} bytes: {}", cause(&error)));
        if let Some(piece) = self.answer.chunk().await.map_err(broke)? {
            *got += piece.len() as u64;
            if got > size {
                return Err(registry.failed(what, &format!("more than its {size} bytes were sent")));
            }
            self.hasher.update(&piece);
            return Ok(Some(piece));
        }
        if got < size {
            return Err(registry.failed(what, &format!("it ended after {got} of {size} bytes")));
        }
        let found = std::mem::replace(&mut self.hasher, Hasher::new()).finish();
        if found == self.digest { Ok(None) } else { Err(registry.lied(what, &self.digest, &found)) }
    }
}

/// Follows redirects to where blobs are kept, never from HTTPS to plain HTTP.
fn redirects(is_plain: bool) -> Policy {
    Policy::custom(move |attempt| {
        if attempt.previous().len() >= REDIRECTS {
            attempt.error("too many redirects")
        } else if !is_plain && attempt.url().scheme() != "https" {
            attempt.error("a redirect to plain HTTP is not followed")
        } else {
            attempt.follow()
        }
    })
}

fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let wrong = |why: &dyn fmt::Display| format!("cannot use the certificates in {} (`ca`): {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&cause(&error)))?;
    if found.is_empty() { Err(wrong(&"there is none in it, or it is not PEM")) } else { Ok(found) }
}

/// Whether a host is this machine.
fn is_loopback(registry: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{registry}/")) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Where to ask for a reference. Docker's own registry is elsewhere than its name says.
fn place_of(reference: &OciReference) -> (String, String) {
    let OciReference { registry, repository, .. } = reference;
    if !matches!(registry.as_str(), "docker.io" | "index.docker.io") {
        return (registry.clone(), repository.clone());
    }
    let repository = if repository.contains('/') { repository.clone() } else { format!("library/{repository}") };
    ("registry-1.docker.io".to_owned(), repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "x.localhost:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["ghcr.io", "10.0.0.1:5000", "localhost.example.com", "127.0.0.1.example.com", "[::2]:5000"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn the_registry_of_docker_is_asked_where_it_is() {
        let place = |text: &str| place_of(&OciReference::parse(text).unwrap());
        assert_eq!(place("oci://docker.io/a"), ("registry-1.docker.io".to_owned(), "library/a".to_owned()));
        assert_eq!(place("oci://docker.io/a/b"), ("registry-1.docker.io".to_owned(), "a/b".to_owned()));
        assert_eq!(place("oci://ghcr.io/a"), ("ghcr.io".to_owned(), "a".to_owned()));
    }
}
