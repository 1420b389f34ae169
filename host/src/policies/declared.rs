//! What policies may read beside what every host knows, by the operator's word.

use std::collections::BTreeMap;

use super::kind::Kind;

/// What policies may read beside what every host knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Claims of callers, by name.
    pub claims: BTreeMap<String, Kind>,
    /// Arguments of calls, by name.
    pub arguments: BTreeMap<String, Kind>,
}
