//! What a benchmark has to say: on standard output, and in a file where one is asked for.

use std::error::Error;
use std::path::Path;

use serde_json::Value;
use truetick_server::files::write_text;

/// Prints a report, and writes it to a file too if there is to be one.
///
/// # Errors
/// The file cannot be written.
pub fn give(report: &Value, file: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let text = serde_json::to_string_pretty(report)?;
    println!("{text}");
    if let Some(path) = file {
        write_text(path, &text)?;
    }
    Ok(())
}
