//! Finding tools by what they do: what an endpoint lists in place of hundreds of tools.
//!
//! `words` takes texts apart, `related` knows other words for the same, `terms` keeps the words of each provider's tools, `index` ranks the tools of one view by them (BM25), and `tools` are the two
//! tools that a model gets: `find_tools` and `call_tool`.

#[cfg(test)]
mod corpus;
mod index;
mod related;
mod terms;
#[cfg(test)]
mod tests;
mod tools;
mod words;

pub use index::{Found, Index};
pub use terms::{Lexicon, Terms};
pub(crate) use tools::Search;
