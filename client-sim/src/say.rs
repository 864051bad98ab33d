//! What programs print: through a thread of its own where a game runs meanwhile, directly where
//! nothing else waits.
//!
//! A reader of standard output that stands still holds up no game, and one that has gone ends none.

use std::io;
use std::sync::OnceLock;

use truetick_server::log::BackgroundWriter;

static OUT: OnceLock<Option<BackgroundWriter>> = OnceLock::new();

/// Standard output, written in the background.
pub fn out() -> Box<dyn io::Write> {
    match OUT.get_or_init(|| BackgroundWriter::stdout().ok()) {
        Some(writer) => Box::new(writer.clone()),
        None => Box::new(io::sink()),
    }
}

/// Waits, for a second at most, until everything that was said is written.
pub fn finish() {
    if let Some(Some(writer)) = OUT.get() {
        writer.finish();
    }
}

/// Prints a line while a game runs: never waits, and never fails.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = $crate::say::out().write_all(format!("{}\n", format_args!($($text)*)).as_bytes());
    }};
}

/// Prints a line of a command's result: waits for its reader, and does not mind if there is none
/// any more.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}
