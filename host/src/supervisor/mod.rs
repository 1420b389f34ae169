//! Servers that speak MCP, kept up: how many connections there are to one, what they offer, and what happens when one dies. How a connection is made
//! (`bridge`: a program or a container is started; `remote`: HTTP) is not known here: both stand beside each other above this.

pub mod replicas;
pub mod server;
