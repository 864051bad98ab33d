//! Secrets come from files or the environment, never from the command line, where other users of the host read them.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tracing::warn;
use truetick_netcode::session::crypto::{Key, KeyError};

use crate::files::{is_private, read_text};

/// The environment's variable for the key.
pub const KEY_VARIABLE: &str = "TRUETICK_KEY";

/// Why there is no key.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Nobody said which.
    #[error(
        "no key: make one with `truetick-server key > FILE` and name it with --key-file FILE, or put it into {KEY_VARIABLE}"
    )]
    Missing,
    /// Its file cannot be read.
    #[error("cannot read the key in {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is none.
    #[error("{origin}: {source}")]
    Invalid {
        /// File or variable.
        origin: String,
        /// Why.
        source: KeyError,
    },
}

/// The key in a file, or else in [`KEY_VARIABLE`].
pub fn load(file: Option<&Path>) -> Result<Key, LoadError> {
    let (origin, text) = match file {
        Some(path) => {
            let text = read_text(path);
            let text = text.map_err(|source| LoadError::Unreadable { path: path.into(), source })?;
            if !is_private(path) {
                warn!(file = %path.display(), "others on this host can read the key: chmod 600");
            }
            (path.display().to_string(), text)
        }
        None => (KEY_VARIABLE.into(), std::env::var(KEY_VARIABLE).map_err(|_| LoadError::Missing)?),
    };
    Key::from_hex(&text).map_err(|source| LoadError::Invalid { origin, source })
}
