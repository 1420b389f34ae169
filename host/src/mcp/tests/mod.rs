//! The front as a client sees it: real requests, a real provider in this process.

mod bodies;
mod client_requests;
mod cost;
mod endpoints;
mod eras;
mod errors;
mod fleet;
mod ids;
mod left;
mod live;
mod offers;
mod parity;
mod roles;
mod sessions;
mod support;
mod tasks;
mod views;
