//! Defects that tests plant to prove that the simulator finds them.
//!
//! They exist only in builds with `TRUETICK_MUTANTS=1` in the environment. Another package of the
//! same build could switch on a cargo feature, but it cannot set an environment variable.

/// A defect that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A repeated packet is accepted again.
    TakeRepeats,
    /// A session that is resumed with the same ticket restarts its packet numbers at 0.
    ForgetNumbers,
    /// A command that is repeated after its tick is executed again.
    ApplyTwice,
    /// A snapshot that arrives after newer ones is acknowledged without being decoded.
    AcceptUndecoded,
    /// A sent state serves as a baseline before it was acknowledged.
    TrustUnacknowledged,
    /// The priority of deferred updates does not grow.
    NeverUrgent,
    /// The budget of a path falls because of round trips that a late server caused.
    BlamePaths,
    /// Each client's deltas build on its own newest baselines, without a limit on the number of
    /// encodings.
    EncodeForEach,
    /// If several ticks are due at once, each of them is sent.
    SendEveryTick,
    /// A client's packets count against its rate limit at the time of the server's last run instead
    /// of their arrival time.
    CountWhenRun,
    /// The result of an entry is published before the entry is durable.
    AcceptBeforeDurable,
    /// A world room panics in its tick 200.
    PanicInTick,
    /// A bit of the first field of each entity that the client does not own flips when it is
    /// decoded.
    RotCopy,
    /// A kernel's receive timestamp is trusted after any change of the wall clock.
    TrustStamps,
    /// The shortest time exchange of a client's clock is trusted although later ones contradict it.
    TrustShortest,
    /// A tick of the auction begins although orders of the tick before still wait.
    CloseBeforeBacklog,
    /// The answer to a command that moves money expires like that of any other command.
    ForgetMoney,
    /// A user who is denied stays the leading bidder.
    DeniedLeads,
    /// At most 64 messages of a reliable channel are in flight.
    NarrowWindow,
    /// A reliable message whose packet is lost counts as delivered.
    ForgetReliable,
    /// A display without newer states waits until 100 ms are buffered.
    WaitForBuffer,
    /// A display that is behind jumps to the wanted time at once.
    LeapDisplay,
    /// A client ignores the feedback that its commands arrive too late.
    DeafClock,
    /// A value outside its field's range is captured without a change.
    KeepOutOfRange,
}

#[cfg(truetick_mutants)]
mod planted {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a defect for everything that this thread runs from now on; `None` removes it.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    /// Whether this defect is planted for this thread.
    pub fn is_planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}

#[cfg(truetick_mutants)]
pub use planted::{is_planted, plant};

/// Whether this defect is planted; always `false` in builds without mutants.
#[cfg(not(truetick_mutants))]
#[inline(always)]
pub const fn is_planted(_: Mutant) -> bool {
    false
}
