//! Loads secrets from files or the environment, never from the command line, where other users of
//! the host can read them.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tracing::warn;
use truetick_netcode::session::crypto::{Key, KeyError};

use crate::files::{is_private, read_text};
use crate::token_service::SECRET_BYTES;

/// Environment variable that holds the key.
pub const KEY_VARIABLE: &str = "TRUETICK_KEY";

/// Environment variable that holds the token service's secret.
pub const SECRET_VARIABLE: &str = "TRUETICK_TOKEN_SECRET";

/// Why a key or secret could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Neither a key file nor the environment variable is given.
    #[error(
        "no key: make one with `truetick-server key > FILE` and name it with --key-file FILE, or put it into {KEY_VARIABLE}"
    )]
    Missing,
    /// Neither a file nor the environment variable gives the token service's secret.
    #[error(
        "no secret for the token service: put {SECRET_BYTES} random letters and digits or more into a file and name it with --token-secret-file FILE, or put them into {SECRET_VARIABLE}"
    )]
    MissingSecret,
    /// The secret is too short to be safe from guessing.
    #[error("{origin}: a secret has {SECRET_BYTES} bytes or more")]
    ShortSecret {
        /// File or environment variable.
        origin: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The text is not a key.
    #[error("{origin}: {source}")]
    Invalid {
        /// File or environment variable.
        origin: String,
        /// What is wrong with the key.
        source: KeyError,
    },
}

/// Loads the secret that a backend presents to the token service, from a file or else from
/// [`SECRET_VARIABLE`]. White space around it is ignored.
///
/// # Errors
/// If there is no secret, its file cannot be read, or it is shorter than [`SECRET_BYTES`].
pub fn load_secret(file: Option<&Path>) -> Result<String, LoadError> {
    let (origin, text) = read(file, SECRET_VARIABLE).ok_or(LoadError::MissingSecret)??;
    let secret = text.trim().to_string();
    match secret.len() >= SECRET_BYTES {
        true => Ok(secret),
        false => Err(LoadError::ShortSecret { origin }),
    }
}

/// Loads the key from a file or else from [`KEY_VARIABLE`].
///
/// # Errors
/// If there is no key, its file cannot be read, or the text is not a key.
pub fn load(file: Option<&Path>) -> Result<Key, LoadError> {
    let (origin, text) = read(file, KEY_VARIABLE).ok_or(LoadError::Missing)??;
    Key::from_hex(&text).map_err(|source| LoadError::Invalid { origin, source })
}

/// Origin and text of a secret; `None` if neither the file nor the variable is given.
fn read(file: Option<&Path>, variable: &str) -> Option<Result<(String, String), LoadError>> {
    let Some(path) = file else {
        return std::env::var(variable)
            .ok()
            .map(|text| Ok((variable.into(), text)));
    };
    let text = read_text(path).map_err(|source| LoadError::Unreadable {
        path: path.into(),
        source,
    });
    warn_if_readable(path);
    Some(text.map(|text| (path.display().to_string(), text)))
}

/// Warns if other users of this host can read a file with a secret.
pub(crate) fn warn_if_readable(path: &Path) {
    if !is_private(path) {
        warn!(file = %path.display(), "others on this host can read it: chmod 600");
    }
}
