//! Real bundles, and our own with everything that can be wrong about them.

mod conformance;
mod made;
mod own;
mod real;
