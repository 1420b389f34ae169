//! What of a server's schemas is published: keys that all kinds have.

use super::super::{
    section::section,
    types::{KIB, MIB, choice, size},
};

section! {
    /// What of a server's schemas is published.
    #[derive(Copy, Eq)]
    pub struct PublishRules {
        /// What is published of the output schemas that the server or the OpenAPI document has; see
        /// [servers.md](servers.md#schemas).
        output as "output_schema": OutputSchema = OutputSchema::Relaxed, choice(OUTPUT_SCHEMA);
        /// Largest schema of a tool that is published. A larger output schema is left out, a larger
        /// input schema shortened.
        max_schema: usize = 64 << 10, size(KIB..=16 * MIB);
    }
}

/// What is published of an output schema that is somebody else's promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutputSchema {
    /// Its types and descriptions: nothing is required, everything may be null.
    #[default]
    Relaxed,
    /// As the server has it. Strict clients refuse an answer that does not fit.
    AsIs,
    /// Nothing.
    Off,
}

const OUTPUT_SCHEMA: &[(&str, OutputSchema)] =
    &[("relaxed", OutputSchema::Relaxed), ("as-is", OutputSchema::AsIs), ("off", OutputSchema::Off)];
