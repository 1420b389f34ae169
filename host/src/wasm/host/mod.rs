//! What the host does for plugins: one file, or folder, for each interface that they import.

pub mod outgoing;
