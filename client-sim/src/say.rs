//! Standard output of the commands: through a background thread while a game runs, directly where
//! nothing else waits.
//!
//! A reader that blocks does not hold up a game, and a closed pipe does not end one.

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

/// Waits until all output is written, for at most a second.
pub fn finish() {
    if let Some(Some(writer)) = OUT.get() {
        writer.finish();
    }
}

/// Prints a line while a game runs. Never waits, never fails.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = $crate::say::out().write_all(format!("{}\n", format_args!($($text)*)).as_bytes());
    }};
}

/// Prints a line of a command's result. Waits for the reader; a closed pipe is ignored.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}
