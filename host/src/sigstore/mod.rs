//! Whether a signature that was made without a lasting key counts (Sigstore, "keyless"): by whom it
//! is, and that it was made while its certificate was valid. Nothing is asked over the network;
//! all that is trusted is given as [`Roots`].
//!
//! From the outside in: a `bundle` or cosign's `annotations` are read as [`Evidence`]; the times at
//! which the signature was there come from the log (`entry`, `checkpoint`) and from authorities
//! (`timestamp`); at each of them the certificate has to lead to an authority (`chain`) and
//! to be in a log of certificates, where one is known (`promise`); then the signature is verified,
//! and only then what it says is read (`statement`).

mod annotations;
mod bundle;
mod certificate;
mod chain;
mod checkpoint;
mod der;
mod entry;
mod evidence;
mod key;
mod promise;
mod roots;
mod statement;
#[cfg(test)]
mod tests;
mod timestamp;

pub use annotations::SIGNATURE;
pub use evidence::{Evidence, Signer};
pub use roots::{Role, Roots};
pub use statement::Subject;
