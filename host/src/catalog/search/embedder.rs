//! The seam to a model that turns texts into vectors: the nearer two meanings are, the nearer their vectors.

use blake3::Hash;
use futures::future::BoxFuture;

/// A model of sentences. It may change while it is used, as when its files are replaced.
pub trait Embedder: Send + Sync + 'static {
    /// Which model this is at the moment: vectors of two models are not to be compared.
    ///
    /// The result says why the model does not serve, if it does not.
    fn version(&self) -> BoxFuture<'_, Result<Hash, String>>;

    /// The vector of a text. Takes milliseconds, and runs on none of the threads that serve calls.
    ///
    /// The result says why there is none, if there is none.
    fn embed<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Embedded, String>>;
}

/// A text as a vector of any length but 0.
pub struct Embedded {
    /// The model that made it.
    pub version: Hash,
    /// The numbers.
    pub vector: Vec<f32>,
}
