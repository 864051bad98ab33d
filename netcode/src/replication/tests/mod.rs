//! The server's half against the client's.

mod crowd;
mod lossy;
