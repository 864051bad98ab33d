//! The auction house in virtual time: production's server, room and journal, visitors of all
//! manners, links, and a disk that loses power, fills up, stalls and fails. One seed, one run.

pub mod audited;
pub mod check;
pub mod commits;
pub mod folder;
pub mod plan;
pub mod world;
