//! The server's half against the client's.

mod bad_input;
mod crowd;
mod lossy;
