//! The operator's policies, in Cedar: what roles in `toolbay.toml` cannot say.
//!
//! [`Policies`] is what a configuration's files say, parsed and validated against the schema that `schema` makes. `rule` takes each policy apart once: whom,
//! what and which actions its scope is about, and what its conditions read. [`Bound`] are the policies as far as they are about one caller: it decides what
//! does not depend on a call ([`Bound::ruling`]), and single calls ([`Bound::verdict`]). Nothing here knows the catalog: it hands in an [`Item`].
//!
//! A policy that cannot be evaluated denies, whatever its effect: in Cedar alone a `forbid` that fails forbids nothing.

mod all;
mod bound;
mod caller;
mod conditions;
mod declared;
mod item;
mod json;
mod kind;
mod parse;
mod rule;
mod schema;
mod set;
#[cfg(test)]
mod tests;

pub use all::Policies;
pub use bound::{Bound, Denial, Moment, Ruling, Verdict};
pub use caller::Caller;
pub use declared::Declared;
pub use item::{Action, Hints, Item};
pub use kind::Kind;
pub use parse::{Fault, PolicyFile};
pub use schema::text as schema_text;
