//! Planted defects: they prove that the simulator finds such. Without the feature `mutants` there are none.

/// A defect that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A packet that comes again is taken again.
    TakeRepeats,
    /// A command that comes again after its tick is executed again.
    ApplyTwice,
    /// A snapshot that newer ones overtook is acknowledged without being decoded.
    AcceptUndecoded,
    /// A state that was sent is built upon before it was acknowledged.
    TrustUnacknowledged,
    /// What waits for lack of budget does not grow more urgent.
    NeverUrgent,
    /// What an entry says is told before the entry is durable.
    AcceptBeforeDurable,
    /// A bit of each foreign entity's first field flips as it is decoded.
    RotCopy,
    /// No more than 64 messages of a reliable channel are in flight.
    NarrowWindow,
    /// A reliable message whose packet is lost counts as delivered.
    ForgetReliable,
    /// A value that is out of its field's range is captured as it is.
    KeepOutOfRange,
}

#[cfg(feature = "mutants")]
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

#[cfg(feature = "mutants")]
pub use planted::{is_planted, plant};

/// Whether this defect is planted.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn is_planted(_: Mutant) -> bool {
    false
}
