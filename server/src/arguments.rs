//! Command-line arguments of `truetick-server`. Each may also come from an environment variable.
//! They override the keys of the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use truetick_server::config::{ConfigError, ServerConfig};

/// Authoritative server for fast-paced multiplayer games
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Configuration file (TOML); flags and environment variables override its keys
    #[arg(long, env = "TRUETICK_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// UDP address to listen on
    #[arg(long, env = "TRUETICK_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address at which clients reach the server, if not the listen address; repeatable
    #[arg(
        long,
        env = "TRUETICK_PUBLIC",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    pub(crate) public: Vec<SocketAddr>,
    /// Address to serve QUIC and WebTransport on; the certificate's fingerprint is printed
    #[arg(long, env = "TRUETICK_QUIC", value_name = "ADDRESS")]
    pub(crate) quic: Option<SocketAddr>,
    /// QUIC: PEM file with the certificate chain; without it a self-signed one is made
    #[arg(long, env = "TRUETICK_CERTIFICATE", value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// QUIC: PEM file with the certificate's private key
    #[arg(long, env = "TRUETICK_CERTIFICATE_KEY", value_name = "FILE")]
    pub(crate) certificate_key: Option<PathBuf>,
    /// WebTransport: origin of a page that may connect, as https://game.example; repeatable
    #[arg(
        long,
        env = "TRUETICK_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub(crate) origin: Vec<String>,
    /// Loopback address of a page that shows the arena in a browser; anyone who opens it may watch
    #[arg(long, env = "TRUETICK_PAGE", value_name = "ADDRESS")]
    pub(crate) page: Option<SocketAddr>,
    /// Loopback or private address to serve laminar on; only in builds with the feature `laminar`
    #[arg(long, env = "TRUETICK_LAMINAR", value_name = "ADDRESS")]
    pub(crate) laminar: Option<SocketAddr>,
    /// File with the key that seals tokens; without it TRUETICK_KEY holds the key
    #[arg(long, env = "TRUETICK_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Address of the HTTP service that issues tokens (POST /v1/connect)
    #[arg(long, env = "TRUETICK_TOKEN_SERVICE", value_name = "ADDRESS")]
    pub(crate) token_service: Option<SocketAddr>,
    /// File with the secret for the token service; without it TRUETICK_TOKEN_SECRET holds it
    #[arg(long, env = "TRUETICK_TOKEN_SECRET_FILE", value_name = "FILE")]
    pub(crate) token_secret_file: Option<PathBuf>,
    /// Ticks per second, 10 to 128
    #[arg(long, env = "TRUETICK_TICK_RATE", value_name = "HZ")]
    pub(crate) tick_rate: Option<u32>,
    /// Maximum number of players, 1 to 4096
    #[arg(long, env = "TRUETICK_MAX_CLIENTS", value_name = "N")]
    pub(crate) max_clients: Option<usize>,
    /// Number of drones in the arena, 0 to 4096
    #[arg(long, env = "TRUETICK_DRONES", value_name = "N")]
    pub(crate) drones: Option<u32>,
    /// Seed of the world's random number generator
    #[arg(long, env = "TRUETICK_SEED", value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Record the room to this file, for `truetick-sim replay`
    #[arg(long, env = "TRUETICK_RECORD", value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Include in the recording the state that each tick changed
    #[arg(
        long,
        env = "TRUETICK_RECORD_STATE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) record_state: Option<bool>,
    /// Capture state packets to this file, for `truetick-sim inspect`; an older file becomes FILE.1
    #[arg(long, env = "TRUETICK_CAPTURE", value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// Run an auction house beside the arena, as room 1, with its journal in this folder
    #[arg(long, env = "TRUETICK_AUCTION", value_name = "DIR")]
    pub(crate) auction: Option<PathBuf>,
    /// User who administers the auction house; only used when it is founded; repeatable
    #[arg(
        long,
        env = "TRUETICK_AUCTION_ADMIN",
        value_name = "N",
        requires = "auction",
        value_delimiter = ','
    )]
    pub(crate) auction_admin: Vec<u64>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print a new key
    Key,
    /// Print a connect token for one user, in base64
    Token(TokenArguments),
    /// Read an auction's journal
    #[command(subcommand)]
    Auction(AuctionCommand),
}

#[derive(Subcommand)]
pub(crate) enum AuctionCommand {
    /// List the lots with their state or outcome
    Lots(DataArgument),
    /// List the accounts, or print one user's statement
    Accounts {
        /// Folder of the journal
        #[command(flatten)]
        data: DataArgument,
        /// User whose statement to print
        #[arg(long, value_name = "N")]
        user: Option<u64>,
    },
    /// Check every invariant, entry by entry; exits non-zero if one is violated
    Audit(DataArgument),
}

#[derive(Args)]
pub(crate) struct DataArgument {
    /// Folder of the journal
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Args)]
pub(crate) struct TokenArguments {
    /// File with the servers' key; without it TRUETICK_KEY holds the key
    #[arg(long, env = "TRUETICK_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Address of a server; up to 32, which the client tries in order
    #[arg(long, value_name = "ADDRESS", required = true, num_args = 1..=32)]
    pub(crate) server: Vec<SocketAddr>,
    /// User id that the token is for
    #[arg(long, value_name = "N")]
    pub(crate) user: u64,
    /// Number of the room that the token is for
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) room: u16,
    /// Issue a token for a spectator
    #[arg(long)]
    pub(crate) spectator: bool,
    /// Seconds until the token expires; servers accept at most their token_lifetime_s (default 30)
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) lifetime: u64,
    /// Seconds of silence after which client and server end the session
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
}

/// Origin of the values, in errors, once flags and environment variables are applied.
const OVERRIDDEN: &str = "command line or environment";

impl Arguments {
    /// The configuration of the server: the file, if there is one, overridden by flags and
    /// environment variables.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, ConfigError> {
        let mut config = match &self.config {
            Some(path) => {
                let config = ServerConfig::read(path)?;
                config.check(&path.display().to_string())?;
                config
            }
            None => ServerConfig::default(),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        if !self.public.is_empty() {
            config.public = self.public.clone();
        }
        self.override_quic(&mut config)?;
        config.page = self.page.or(config.page);
        config.laminar = self.laminar.or(config.laminar);
        config.token_service = self.token_service.or(config.token_service);
        config.token_secret_file = self.token_secret_file.clone().or(config.token_secret_file);
        config.key_file = self.key_file.clone().or(config.key_file);
        config.tick_rate = self.tick_rate.unwrap_or(config.tick_rate);
        config.max_clients = self.max_clients.unwrap_or(config.max_clients);
        config.drones = self.drones.unwrap_or(config.drones);
        config.seed = self.seed.unwrap_or(config.seed);
        config.record = self.record.clone().or(config.record);
        config.record_state = self.record_state.unwrap_or(config.record_state);
        config.capture = self.capture.clone().or(config.capture);
        if let Some(data) = &self.auction {
            config.auction.get_or_insert_default().data = data.clone();
        }
        if let Some(auction) = config
            .auction
            .as_mut()
            .filter(|_| !self.auction_admin.is_empty())
        {
            auction.admins = self.auction_admin.clone();
        }
        config.check(OVERRIDDEN)?;
        Ok(config)
    }

    fn override_quic(&self, config: &mut ServerConfig) -> Result<(), ConfigError> {
        if let Some(listen) = self.quic {
            config.quic.get_or_insert_default().listen = listen;
        }
        let Some(quic) = &mut config.quic else {
            let path =
                |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
            let given = [
                ("--certificate", path(&self.certificate)),
                ("--certificate-key", path(&self.certificate_key)),
                ("--origin", self.origin.first().cloned()),
            ];
            let given = given
                .into_iter()
                .find_map(|(key, value)| Some((key, value?)));
            return given.map_or(Ok(()), |(key, value)| {
                let allowed = "beside --quic, or [quic] in the configuration file".into();
                Err(ConfigError::OutOfRange {
                    origin: OVERRIDDEN.into(),
                    key,
                    value,
                    allowed,
                })
            });
        };
        quic.certificate = self.certificate.clone().or(quic.certificate.take());
        quic.certificate_key = self.certificate_key.clone().or(quic.certificate_key.take());
        quic.origins.extend(self.origin.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_of_the_server_has_a_variable_named_after_it() {
        let command = Arguments::command();
        for argument in command.get_arguments() {
            let flag = argument.get_long().unwrap();
            let variable = format!("TRUETICK_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env(), Some(variable.as_ref()), "--{flag}");
        }
    }
}
