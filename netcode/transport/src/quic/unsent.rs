//! The bounded queue of frames that wait to be sent on a connection. A session has one window in
//! flight, but a client that acknowledges what it never received makes the session send more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::limits::{ALL_UNSENT_FRAME_BYTES, UNSENT_FRAME_BYTES};
use truetick_netcode::limits::{CHANNEL_QUEUE, CHANNEL_WINDOW_BYTES};

/// Most waiting frames of one connection: more than a session may have in flight.
const FRAMES_UNSENT: usize = 2 * CHANNEL_QUEUE * 5;

/// The end of the queue into which frames are put.
pub(super) struct UnsentFrames {
    frames: Sender<UnsentFrame>,
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

/// A waiting frame. It counts until it is dropped.
pub(super) struct UnsentFrame {
    pub bytes: Vec<u8>,
    counted: [Arc<AtomicUsize>; 2],
}

impl Drop for UnsentFrame {
    fn drop(&mut self) {
        for counter in &self.counted {
            counter.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        }
    }
}

impl UnsentFrames {
    /// Creates an empty queue. `all` counts the bytes of all connections of an end.
    pub(super) fn new(all: &Arc<AtomicUsize>) -> (Self, Receiver<UnsentFrame>) {
        let (frames, taken) = mpsc::channel(FRAMES_UNSENT);
        (
            Self {
                frames,
                own: Arc::default(),
                all: all.clone(),
            },
            taken,
        )
    }

    /// Queues a frame. Returns false if the limits leave no space.
    pub(super) fn put(&self, bytes: Vec<u8>) -> bool {
        let own = self.own.load(Ordering::Relaxed) + bytes.len();
        let all = self.all.load(Ordering::Relaxed) + bytes.len();
        let too_much = own > UNSENT_FRAME_BYTES;
        if too_much || (all > ALL_UNSENT_FRAME_BYTES && own > CHANNEL_WINDOW_BYTES) {
            return false;
        }
        let counted = [self.own.clone(), self.all.clone()];
        for counter in &counted {
            counter.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        self.frames.try_send(UnsentFrame { bytes, counted }).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truetick_netcode::limits::FRAME_BYTES;

    #[test]
    fn frames_that_wait_are_bounded_by_bytes_on_each_connection_and_on_all() {
        let all = Arc::default();
        let (first, mut taken) = UnsentFrames::new(&all);
        let most = UNSENT_FRAME_BYTES / FRAME_BYTES;
        assert_eq!(
            (0..10_000)
                .take_while(|_| first.put(vec![0; FRAME_BYTES]))
                .count(),
            most
        );
        // A taken frame frees its space.
        drop(taken.try_recv());
        assert!(first.put(vec![0; FRAME_BYTES]) && !first.put(vec![0; FRAME_BYTES]));
        let mut others = vec![(first, taken)];
        while all.load(Ordering::Relaxed) + UNSENT_FRAME_BYTES <= ALL_UNSENT_FRAME_BYTES {
            let (other, taken) = UnsentFrames::new(&all);
            while other.put(vec![0; FRAME_BYTES]) {}
            others.push((other, taken));
        }
        let (late, late_taken) = UnsentFrames::new(&all);
        let count = (0..10_000)
            .take_while(|_| late.put(vec![0; FRAME_BYTES]))
            .count();
        assert!(count < most, "all together are bounded");
        assert!(all.load(Ordering::Relaxed) <= ALL_UNSENT_FRAME_BYTES + CHANNEL_WINDOW_BYTES);
        // A connection with less than one window waiting still gets its frames.
        let (small, small_taken) = UnsentFrames::new(&all);
        assert!(small.put(vec![0; FRAME_BYTES]));
        drop((others, late, late_taken, small, small_taken));
        assert_eq!(
            all.load(Ordering::Relaxed),
            0,
            "nothing is counted that is gone"
        );
    }
}
