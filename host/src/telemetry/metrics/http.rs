//! Requests of HTTP by route, method and status.

use std::{fmt, sync::OnceLock, time::Duration};

use super::{Durations, Out, Source, family};

/// Methods that are told apart.
const METHODS: [&str; 6] = ["POST", "GET", "DELETE", "OPTIONS", "HEAD", "PUT"];

/// Status codes that are told apart: all that this host answers. One of another instance, handed on, may be none of these.
const STATUSES: [u16; 20] = [200, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 429, 431, 500, 502, 503, 504];

/// What stands for all other methods and status codes: the word of the semantic conventions.
const OTHER: &str = "_OTHER";

macro_rules! routes {
    ($($name:ident => $path:literal,)+) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the path beside it")]
        pub enum HttpRoute {
            $($name,)+
        }

        const ROUTES: &[&str] = &[$($path,)+];
    };
}

routes! {
    Mcp => "/mcp",
    ProviderMcp => "/{provider}/mcp",
    Tools => "/tools",
    Call => "/call",
    ProviderTools => "/{provider}/tools",
    ProviderCall => "/{provider}/call",
    OpenApi => "/openapi.json",
    Healthz => "/healthz",
    Readyz => "/readyz",
    Status => "/status",
    Metrics => "/metrics",
    Console => "/console",
    Root => "/",
    // As the semantic conventions say: without a route there is no label.
    None => "",
}

/// All of them. A cell is made with its first request.
#[derive(Debug)]
pub struct HttpMeters(Box<[OnceLock<Box<Durations>>]>);

impl Default for HttpMeters {
    fn default() -> Self {
        let cells = ROUTES.len() * (METHODS.len() + 1) * (STATUSES.len() + 1);
        Self((0..cells).map(|_| OnceLock::new()).collect())
    }
}

impl HttpMeters {
    /// A request was answered, by this status.
    pub fn answered(&self, route: HttpRoute, method: &str, status: u16, took: Duration) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len());
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len());
        let index = (route as usize * (METHODS.len() + 1) + method) * (STATUSES.len() + 1) + status;
        if let Some(cell) = self.0.get(index) {
            cell.get_or_init(Box::default).record(took);
        }
    }
}

impl Source for HttpMeters {
    fn collect(&self, out: &mut Out<'_>) -> fmt::Result {
        let mut samples = out.family(&family::HTTP_DURATION)?;
        let statuses: Vec<String> = STATUSES.iter().map(u16::to_string).chain([OTHER.to_owned()]).collect();
        let methods = || METHODS.into_iter().chain([OTHER]);
        let names = ROUTES.iter().flat_map(|route| methods().map(move |method| (route, method)));
        let names = names.flat_map(|(route, method)| statuses.iter().map(move |status| (route, method, status)));
        for ((route, method, status), cell) in names.zip(&self.0) {
            if let Some(durations) = cell.get() {
                samples.durations([method, route, status], durations)?;
            }
        }
        Ok(())
    }
}
