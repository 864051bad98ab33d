//! Defects that tests plant to prove that the simulator finds them.
//!
//! They exist only in builds with `TRUETICK_MUTANTS=1` in the environment. A cargo feature could be
//! switched on by another package of the same build; an environment variable cannot.

/// A defect that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A packet that comes again is taken again.
    TakeRepeats,
    /// A session that the same ticket resumes again numbers its packets from 0 again.
    ForgetNumbers,
    /// A command that comes again after its tick is executed again.
    ApplyTwice,
    /// A snapshot that newer ones overtook is acknowledged without being decoded.
    AcceptUndecoded,
    /// A state that was sent is built upon before it was acknowledged.
    TrustUnacknowledged,
    /// What waits for lack of budget does not grow more urgent.
    NeverUrgent,
    /// A path's budget falls for what a late server did to its round trips.
    BlamePaths,
    /// Each client's deltas build on its own newest baselines, however many are encoded.
    EncodeForEach,
    /// Each of several ticks that are due at once is sent.
    SendEveryTick,
    /// A client's packets are limited by when the server ran last, not by when they came.
    CountWhenRun,
    /// What an entry says is told before the entry is durable.
    AcceptBeforeDurable,
    /// A world's room panics in its tick 200.
    PanicInTick,
    /// A bit of each foreign entity's first field flips as it is decoded.
    RotCopy,
    /// A kernel's receive stamp is believed wherever the wall clock was set.
    TrustStamps,
    /// The shortest exchange of a client's clock is believed though later ones contradict it.
    TrustShortest,
    /// A tick of the auction goes on though orders of the tick before still wait.
    CloseBeforeBacklog,
    /// A command that moves money is forgotten like any other.
    ForgetMoney,
    /// A user who is denied keeps leading.
    DeniedLeads,
    /// No more than 64 messages of a reliable channel are in flight.
    NarrowWindow,
    /// A reliable message whose packet is lost counts as delivered.
    ForgetReliable,
    /// A display that has nothing newer to show waits until 100 ms are buffered.
    WaitForBuffer,
    /// A display that is behind shows the time that it should at once.
    LeapDisplay,
    /// A client does not hear that its commands come too late.
    DeafClock,
    /// A value that is out of its field's range is captured as it is.
    KeepOutOfRange,
}

#[cfg(truetick_mutants)]
mod planted {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a defect into everything that this thread runs from now on, or takes it out again.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    /// Whether this defect is planted.
    pub fn is_planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}

#[cfg(truetick_mutants)]
pub use planted::{is_planted, plant};

/// Whether this defect is planted.
#[cfg(not(truetick_mutants))]
#[inline(always)]
pub const fn is_planted(_: Mutant) -> bool {
    false
}
