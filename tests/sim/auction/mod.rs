//! The auction house in virtual time: the production server, room and journal, bidders of every
//! strategy, links, and a disk that loses power, fills up, stalls and fails. One seed is one run.

pub mod audited;
pub mod check;
pub mod commits;
pub mod folder;
pub mod held_room;
mod member;
pub mod plan;
mod serving;
pub mod world;
