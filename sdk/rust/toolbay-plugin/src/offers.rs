//! Resources and prompts in tests: read and filled in as a client does.

use crate::{Message, Prompt, Read, Resource, testing::Fake};

impl Fake {
    /// Reads a resource as a client does: by its address.
    #[must_use]
    pub fn read(&self, resources: &[Resource], uri: &str) -> Read {
        let read = resources.iter().map(|resource| (resource.read)(&self.ctx(), uri));
        read.into_iter().find(|read| *read != Read::Elsewhere).unwrap_or(Read::Missing)
    }

    /// Fills in a prompt as a client does: by its name, with texts.
    ///
    /// # Errors
    ///
    /// The prompt's own.
    ///
    /// # Panics
    ///
    /// Where there is no such prompt.
    #[allow(clippy::panic, reason = "it is for tests")]
    pub fn prompt(&self, prompts: &[Prompt], name: &str, arguments: &[(&str, &str)]) -> Result<Vec<Message>, String> {
        let Some(prompt) = prompts.iter().find(|prompt| prompt.name == name) else {
            panic!("there is no prompt {name}; there are {:?}", prompts.iter().map(|prompt| prompt.name).collect::<Vec<_>>());
        };
        let arguments: Vec<(String, String)> = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        (prompt.get)(&self.ctx(), &arguments)
    }
}
