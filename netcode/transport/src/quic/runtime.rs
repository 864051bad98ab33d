//! The thread on which QUIC runs, so that its timers, handshakes and ciphers never delay the
//! sender.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::clock;

/// Interval between two readings of the thread's processor time.
const METER: Duration = Duration::from_millis(100);

/// A running QUIC thread, shared by its users. The thread ends with the last of them.
#[derive(Clone, Debug)]
pub struct QuicRuntime(Arc<Running>);

#[derive(Debug)]
struct Running {
    handle: Handle,
    cpu_ns: Arc<AtomicU64>,
    /// Dropped with the last user, which ends the thread.
    _end: oneshot::Sender<()>,
}

impl QuicRuntime {
    /// Starts a thread for QUIC, with no work yet.
    ///
    /// # Errors
    /// If the runtime or the thread cannot be created.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel::<()>();
        let (handle, cpu_ns) = (runtime.handle().clone(), Arc::new(AtomicU64::new(0)));
        let meter = cpu_ns.clone();
        thread::Builder::new()
            .name("truetick-quic".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = ended => {}
                        () = measure(&meter) => {}
                    }
                });
            })?;
        Ok(Self(Arc::new(Running {
            handle,
            cpu_ns,
            _end: end,
        })))
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// Returns the processor time of the thread, which may be a tenth of a second old.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.0.cpu_ns.load(Ordering::Relaxed))
    }
}

async fn measure(cpu_ns: &AtomicU64) {
    loop {
        cpu_ns.store(clock::thread_cpu().as_nanos() as u64, Ordering::Relaxed);
        tokio::time::sleep(METER).await;
    }
}
