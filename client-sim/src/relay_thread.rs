//! A UDP relay on a thread of its own. It puts a [`crate::profile::Profile`] between bots and
//! server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use truetick_netcode::link_sim::LinkConfig;
use truetick_transport::clock;
use truetick_transport::relay::UdpRelay;

/// A running relay.
pub struct RelayThread {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl RelayThread {
    /// Starts a relay to `server`. Each direction of each client's path behaves as `link`; its
    /// random numbers follow from `seed`.
    ///
    /// # Errors
    /// The socket or the thread cannot be created.
    pub fn start(server: SocketAddr, link: LinkConfig, seed: u64) -> io::Result<Self> {
        let mut relay = UdpRelay::bind(server, link, seed)?;
        let address = relay.address()?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let run = move || {
            while !told.load(Ordering::Relaxed) {
                let now = clock::now();
                relay.wait(now, now + Duration::from_millis(100))?;
                relay.pump(clock::now())?;
            }
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("truetick-relay".into())
            .spawn(run)?;
        Ok(Self {
            address,
            stop,
            thread,
        })
    }

    /// The address to which bots send.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the relay.
    ///
    /// # Errors
    /// The relay's socket failed, or its thread panicked.
    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the relay's thread panicked")))
    }
}
