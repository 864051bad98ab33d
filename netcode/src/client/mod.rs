//! The client side of the protocol, for any client of any game.
//!
//! ```text
//! runtime:  client_connection (resumable_session, packets, messages) -> snapshot_buffer
//!           -> prediction (reconcile) -> interpolation -> view
//!           tick_clock: when the next command is due; command_history: commands until simulated
//! ```

pub mod bit_cost;
pub mod client_connection;
pub mod command_history;
mod decode;
mod delay_window;
pub mod display_clock;
mod event_queue;
mod frame_wait;
mod glide;
pub mod inspect;
pub mod interpolation;
pub mod latency;
mod own_view;
pub mod prediction;
pub mod remote_entity;
pub mod resumable_session;
pub mod resync_throttle;
pub mod runtime;
mod skipped_slots;
pub mod snapshot_buffer;
pub mod state;
mod state_history;
pub mod stats;
pub mod tick_clock;
pub mod time_line;
