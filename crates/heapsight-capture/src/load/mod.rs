//! Load on the target while it is captured: built-in HTTP requests ([`http`]), any command ([`command`]), and waiting
//! until the target is ready for it ([`wait`]).

pub mod command;
pub mod http;
pub mod wait;
