//! File formats, as much of them as is needed here.

pub mod png;
pub mod wav;
