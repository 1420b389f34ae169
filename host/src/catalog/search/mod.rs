//! Finding tools by what they do: what an endpoint lists in place of hundreds of tools.
//!
//! `words` takes texts apart, `related` knows other words for the same, `terms` keeps the words of each provider's tools, `index` ranks the tools of one view by them (BM25), and `tools` are the two
//! tools that a model gets: `find_tools` and `call_tool`.
//!
//! Where there is a model of sentences (`embedder`), `meanings` makes vectors of all tools in the background, `vectors` compares them, `vault` keeps
//! them from one start to the next, and `asked` the vectors of questions.

mod asked;
mod embedder;
mod index;
mod lexicon;
mod meanings;
mod related;
mod terms;
#[cfg(test)]
mod tests;
mod tools;
mod vault;
mod vectors;
mod words;

pub use embedder::{Embedded, Embedder};
pub use index::{Found, Index, Scores, Wanted};
pub use lexicon::Lexicon;
pub use meanings::{Meaning, MeaningStatus, Meanings};
pub use terms::Terms;
pub(crate) use tools::Search;
