//! How the connection stands and how calls were decided, for `/status` and the metrics.

use serde::Serialize;

/// How a call was decided whose limits are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// By all hosts together: it may be made.
    Admitted,
    /// By all hosts together: it comes too soon.
    Limited,
    /// By this host alone, since nothing could be counted together.
    Alone,
    /// It was refused, since nothing could be counted together.
    Refused,
}

impl Decision {
    /// All of them, each at its own place, and the label's value. These are API: they are not renamed.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Admitted, "admitted"), (Self::Limited, "limited"), (Self::Alone, "alone"), (Self::Refused, "denied")];
}

/// How the connection stands.
#[derive(Clone, Debug, Serialize)]
pub struct SharedStatus {
    /// `connected`, or `away`.
    pub state: &'static str,
    /// Where it is, without a password.
    pub redis: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// What answers there, such as `redis 7.0.15`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Why not, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What may go wrong there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether the limits of callers are counted there.
    pub limits: bool,
    /// Whether plugins keep keys and values there.
    pub store: bool,
    /// What becomes of limited calls while it is away: `open` or `closed`.
    pub on_failure: &'static str,
    /// Commands that were answered.
    pub answered: u64,
    /// Commands that failed.
    pub failed: u64,
}

impl SharedStatus {
    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.server.is_some()
    }
}
