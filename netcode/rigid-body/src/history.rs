//! The states that a peer is known to hold, and the choice of those that a block builds on.

use truetick_netcode::tick::Tick;

/// Number of states before the baseline that a block builds on as well.
pub const OLDER: usize = 4;

/// Preferred distances of the older states from the baseline, in ticks.
const WISHED: [u32; OLDER] = [1, 2, 3, 6];

/// Ages and gaps are below this, in ticks.
const WINDOW: u32 = 32;

/// Ages of the baseline of a block and of the older states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTicks {
    /// Age of the baseline in ticks, 1 to 31.
    pub age: u32,
    /// Ticks from each older state to the baseline: 1 to 31, or 0 if there is none and the baseline
    /// is used instead.
    pub gaps: [u32; OLDER],
}

impl PastTicks {
    /// The ages where every state is acknowledged after `age` ticks: the older states are 1, 2, 3
    /// and 6 ticks before the baseline.
    pub const fn whole(age: u32) -> Self {
        Self { age, gaps: WISHED }
    }
}

/// The states that a peer acknowledged, for the newest one and the 63 ticks before it.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    newest: Option<Tick>,
    /// Bit `n` is set if the state `n` ticks before the newest is held.
    held: u64,
}

impl Acknowledged {
    /// Records that the peer holds the state of a tick.
    pub fn note(&mut self, tick: Tick) {
        let newest = *self.newest.get_or_insert(tick);
        let ahead = tick.distance(newest);
        if ahead >= 64 {
            (self.newest, self.held) = (Some(tick), 1);
        } else if ahead > 0 {
            (self.newest, self.held) = (Some(tick), self.held << ahead | 1);
        } else if ahead > -64 {
            self.held |= 1 << -ahead;
        }
    }

    /// Chooses the states to build on for a state of tick `now`: the newest that is held, and those
    /// nearest to the preferred distances before it. Returns `None` if the newest one is not 1 to
    /// 31 ticks old.
    pub fn choose(&self, now: Tick) -> Option<PastTicks> {
        let age = u32::try_from(now.distance(self.newest?)).ok()?;
        let held = |gap: u32| gap > 0 && gap < WINDOW && self.held >> gap & 1 == 1;
        let nearest = |wished: u32| {
            let outward = (0..WINDOW).flat_map(|by| [wished + by, wished.saturating_sub(by)]);
            outward.into_iter().find(|gap| held(*gap)).unwrap_or(0)
        };
        (1..WINDOW).contains(&age).then(|| PastTicks {
            age,
            gaps: WISHED.map(nearest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ticks: &[u32]) -> Acknowledged {
        let mut held = Acknowledged::default();
        ticks.iter().for_each(|tick| held.note(Tick(*tick)));
        held
    }

    #[test]
    fn the_newest_serves_and_the_nearest_before_it() {
        let whole: Vec<_> = (80..=94).collect();
        assert_eq!(held(&whole).choose(Tick(100)), Some(PastTicks::whole(6)));
        let gaps = PastTicks {
            age: 6,
            gaps: [2, 2, 4, 5],
        };
        assert_eq!(held(&[89, 94, 90, 92]).choose(Tick(100)), Some(gaps));
        assert_eq!(
            held(&[94]).choose(Tick(100)),
            Some(PastTicks {
                age: 6,
                gaps: [0; 4]
            })
        );
    }

    #[test]
    fn what_is_too_old_serves_no_more() {
        assert_eq!(held(&[]).choose(Tick(9)), None);
        assert_eq!(held(&[9]).choose(Tick(9)), None);
        assert_eq!(held(&[9]).choose(Tick(9 + 32)), None);
        assert_eq!(
            held(&[9, 200]).choose(Tick(201)),
            Some(PastTicks {
                age: 1,
                gaps: [0; 4]
            })
        );
    }
}
