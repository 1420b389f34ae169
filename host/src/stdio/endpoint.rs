//! Who answers: the host in this process, or one that runs elsewhere.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use http::{HeaderValue, Request, Response, StatusCode};
use reqwest::redirect::Policy;

use crate::{mcp::Front, tls};

/// A response, its body as it comes.
pub type Answer = Response<BoxStream<'static, Result<Bytes, String>>>;

/// Answers requests of Streamable HTTP.
pub trait Endpoint: Send + Sync + 'static {
    /// Sends one request; the URI of it is made up by the endpoint. Dropping the future, or the answer's body, closes the connection.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Answer, EndpointError>>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EndpointError {
    /// A sentence.
    pub message: String,
    /// Nothing of the request went out, so that it may be sent again.
    pub unsent: bool,
}

/// The host in this process.
pub struct Host {
    front: Arc<Front>,
}

impl Host {
    /// What is not there yet is waited for by the front, as it is for requests of HTTP.
    #[must_use]
    pub fn new(front: Arc<Front>) -> Self {
        Self { front }
    }
}

impl Endpoint for Host {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Answer, EndpointError>> {
        Box::pin(async move {
            let response = self.front.handle(None, request).await;
            Ok(response.map(|body| body.into_data_stream().map(|chunk| chunk.map_err(|error| error.to_string())).boxed()))
        })
    }
}

/// A host that runs elsewhere, or any other server of Streamable HTTP.
pub struct Remote {
    client: reqwest::Client,
    url: reqwest::Url,
    /// `Bearer …`.
    authorization: Option<HeaderValue>,
}

/// A connection that is not there by then is not going to be.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection whose other end is gone without a word is found out by this.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

impl Remote {
    /// The endpoint at an address, with a bearer token where it wants one.
    ///
    /// # Errors
    ///
    /// What is wrong with the token, or why there can be no HTTP client.
    pub fn new(url: reqwest::Url, bearer: Option<&str>) -> Result<Self, String> {
        let authorization = match bearer {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| "the bearer token has characters that a header cannot have".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("toolbay/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .tcp_keepalive(KEEP_ALIVE)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .referer(false)
                // A redirect would carry the token to where nobody meant it to go.
                .redirect(Policy::none())
        };
        let no_https = |why: &str| tracing::warn!("no https: {why}; install ca-certificates or set SSL_CERT_FILE");
        let client = tls::client(builder, no_https).map_err(|error| format!("cannot set up HTTP: {}", tls::cause(&error)))?;
        Ok(Self { client, url, authorization })
    }
}

impl Endpoint for Remote {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Answer, EndpointError>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let mut request = self.client.request(parts.method, self.url.clone()).headers(parts.headers).body(body);
            if let Some(authorization) = &self.authorization {
                request = request.header(http::header::AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(|error| EndpointError {
                message: format!("cannot reach {}: {}", self.url, tls::cause(&error)),
                unsent: error.is_connect(),
            })?;
            if response.status() == StatusCode::UNAUTHORIZED {
                let advice = match &self.authorization {
                    None => "it needs a bearer token: put it into an environment variable and name that with --token-env VAR",
                    Some(_) => "it does not accept the token of --token-env",
                };
                return Err(EndpointError { message: format!("{} answered 401 Unauthorized: {advice}", self.url), unsent: false });
            }
            let mut answer = Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.clone_from(response.headers());
            }
            let body = response.bytes_stream().map(|chunk| chunk.map_err(|error| tls::cause(&error))).boxed();
            answer.body(body).map_err(|error| EndpointError { message: error.to_string(), unsent: false })
        })
    }
}
