//! A server of another program's file, as far as an operator is to hear of it.

use super::error::Place;

/// One entry of such a file, under the name that it has here.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedServer {
    /// The name that it has in its file.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Why it is not served. None: it is, as `[server.NAME]` are.
    pub error: Option<String>,
    /// What of it was passed over or taken in another way than its client does.
    pub notes: Vec<String>,
}
