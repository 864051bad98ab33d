//! Which states a peer is known to hold, and which of them a block builds upon.

use crate::tick::Tick;

/// States before the baseline that a block builds upon as well.
pub const OLDER: usize = 4;

/// How many ticks before the baseline they are at best.
const WISHED: [u32; OLDER] = [1, 2, 3, 6];

/// Ages and gaps are below this.
const WINDOW: u32 = 32;

/// The baseline of a block and the states before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTicks {
    /// The baseline is so many ticks older than the state that is coded: 1 to 31.
    pub age: u32,
    /// Each older state is so many ticks before the baseline: 0 (there is none: the baseline
    /// serves) to 31.
    pub gaps: [u32; OLDER],
}

impl PastTicks {
    /// A past where all that was sent is acknowledged after `age` ticks.
    pub const fn whole(age: u32) -> Self {
        Self { age, gaps: WISHED }
    }
}

/// States that were acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    newest: Option<Tick>,
    /// Bit `n`: the state `n` ticks before the newest.
    held: u64,
}

impl Acknowledged {
    /// The peer holds the state of a tick.
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

    /// What to build upon for a state of `now`: the newest that is held, and those near the wished
    /// distances before it. None: nothing is held that is young enough.
    pub fn choose(&self, now: Tick) -> Option<PastTicks> {
        let age = u32::try_from(now.distance(self.newest?)).ok()?;
        let held = |gap: u32| gap > 0 && gap < WINDOW && self.held >> gap & 1 == 1;
        let nearest = |wished: u32| {
            let outward = (0..WINDOW).flat_map(|by| [wished + by, wished.saturating_sub(by)]);
            outward.into_iter().find(|gap| held(*gap)).unwrap_or(0)
        };
        (1..WINDOW).contains(&age).then(|| PastTicks { age, gaps: WISHED.map(nearest) })
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
        let gaps = PastTicks { age: 6, gaps: [2, 2, 4, 5] };
        assert_eq!(held(&[89, 94, 90, 92]).choose(Tick(100)), Some(gaps));
        assert_eq!(held(&[94]).choose(Tick(100)), Some(PastTicks { age: 6, gaps: [0; 4] }));
    }

    #[test]
    fn what_is_too_old_serves_no_more() {
        assert_eq!(held(&[]).choose(Tick(9)), None);
        assert_eq!(held(&[9]).choose(Tick(9)), None);
        assert_eq!(held(&[9]).choose(Tick(9 + 32)), None);
        assert_eq!(held(&[9, 200]).choose(Tick(201)), Some(PastTicks { age: 1, gaps: [0; 4] }));
    }
}
