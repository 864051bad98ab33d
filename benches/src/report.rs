//! Output of a benchmark's report: on standard output, and in a file if requested.

use std::error::Error;
use std::path::Path;

use serde_json::Value;
use truetick_server::files::write_text;

/// Prints a report, and also writes it to `file` if there is one.
///
/// # Errors
///
/// The file cannot be written.
pub fn give(report: &Value, file: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let text = serde_json::to_string_pretty(report)?;
    println!("{text}");
    if let Some(path) = file {
        write_text(path, &text)?;
    }
    Ok(())
}
