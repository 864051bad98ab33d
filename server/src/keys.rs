//! Secrets come from files or the environment, never from the command line, where other users of
//! the host read them.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tracing::warn;
use truetick_netcode::session::crypto::{Key, KeyError};

use crate::files::{is_private, read_text};
use crate::token_service::SECRET_BYTES;

/// The environment's variable for the key.
pub const KEY_VARIABLE: &str = "TRUETICK_KEY";

/// The environment's variable for the token service's secret.
pub const SECRET_VARIABLE: &str = "TRUETICK_TOKEN_SECRET";

/// Why there is no key or secret.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Nobody said which.
    #[error(
        "no key: make one with `truetick-server key > FILE` and name it with --key-file FILE, or put it into {KEY_VARIABLE}"
    )]
    Missing,
    /// The token service has no secret.
    #[error(
        "no secret for the token service: put {SECRET_BYTES} random letters and digits or more into a file and name it with --token-secret-file FILE, or put them into {SECRET_VARIABLE}"
    )]
    MissingSecret,
    /// The secret can be guessed.
    #[error("{origin}: a secret has {SECRET_BYTES} bytes or more")]
    ShortSecret {
        /// File or variable.
        origin: String,
    },
    /// Its file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
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

/// The secret in a file, or else in [`SECRET_VARIABLE`], that a backend shows the token service.
pub fn load_secret(file: Option<&Path>) -> Result<String, LoadError> {
    let (origin, text) = read(file, SECRET_VARIABLE).ok_or(LoadError::MissingSecret)??;
    let secret = text.trim().to_string();
    match secret.len() >= SECRET_BYTES {
        true => Ok(secret),
        false => Err(LoadError::ShortSecret { origin }),
    }
}

/// The key in a file, or else in [`KEY_VARIABLE`].
pub fn load(file: Option<&Path>) -> Result<Key, LoadError> {
    let (origin, text) = read(file, KEY_VARIABLE).ok_or(LoadError::Missing)??;
    Key::from_hex(&text).map_err(|source| LoadError::Invalid { origin, source })
}

/// Where a secret comes from, and its text.
fn read(file: Option<&Path>, variable: &str) -> Option<Result<(String, String), LoadError>> {
    let Some(path) = file else {
        return std::env::var(variable).ok().map(|text| Ok((variable.into(), text)));
    };
    let text =
        read_text(path).map_err(|source| LoadError::Unreadable { path: path.into(), source });
    warn_if_readable(path);
    Some(text.map(|text| (path.display().to_string(), text)))
}

/// Warns of a file with a secret that others on this host can read.
pub fn warn_if_readable(path: &Path) {
    if !is_private(path) {
        warn!(file = %path.display(), "others on this host can read it: chmod 600");
    }
}
