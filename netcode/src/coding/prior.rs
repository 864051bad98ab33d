//! What is expected of numbers before any was seen: two bytes for each context.
//!
//! The bytes come from recorded play (`cargo run -p truetick-benches --bin train`), and both sides hold the same. From
//! them follow the probabilities that the range coder starts from, and the codes of the prefix coder. Only additions
//! and multiplications are used, so that every machine comes to the same.

/// Binary decisions of one number in the range coder: zero or not, its length in unary, its second bit.
pub const NODES: usize = 24;

/// Lengths that are told in unary; longer ones are told in five raw bits.
pub const UNARY: usize = 12;

/// Place of the node for the second bit of a number of `length` bits (2 to [`UNARY`] - 1).
pub const fn second_bit(length: usize) -> usize {
    UNARY + length - 1
}

/// Expectation of one number in one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// How often it is zero, of 256.
    pub zero: u8,
    /// Mean of its magnitude where it is not zero, as eighths of a binary order: 0 is 1, 8 is 2, 16 is 4.
    pub spread: u8,
}

impl Prior {
    /// Nothing is known: zero every other time, else some units.
    pub const UNKNOWN: Self = Self { zero: 128, spread: 12 };

    /// The prior of so many zeros among `count` numbers, the others' magnitudes having this sum.
    pub fn of(count: u64, zeros: u64, sum: u64) -> Self {
        if count == 0 {
            return Self::UNKNOWN;
        }
        let zero = ((zeros * 256 + count / 2) / count).clamp(1, 255) as u8;
        let others = count - zeros;
        let spread = match others {
            0 => 0,
            _ => (0..=200u8).find(|spread| mean(*spread) * others as f64 >= sum as f64).unwrap_or(200),
        };
        Self { zero, spread }
    }
}

/// The mean that a spread stands for.
fn mean(spread: u8) -> f64 {
    // 2^(0/8) to 2^(7/8), correctly rounded.
    const EIGHTHS: [f64; 8] = [
        1.0,
        1.090_507_732_665_257_7,
        1.189_207_115_002_721,
        1.296_839_554_651_009_6,
        std::f64::consts::SQRT_2,
        1.542_210_825_407_940_7,
        1.681_792_830_507_429,
        1.834_008_086_409_342_4,
    ];
    EIGHTHS[usize::from(spread & 7)] * (1u64 << (spread >> 3)) as f64
}

/// A probability of 12 bits above a count of 4: how often the node was used, up to 15.
pub type Node = u16;

/// How well known a trained node counts at the start.
const TRAINED: u16 = 6;

/// A node of this probability.
pub fn node(probability: f64, uses: u16) -> Node {
    let p = (probability * 4096.0) as u16;
    p.clamp(32, 4064) << 4 | uses
}

/// The static code of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Golomb {
    /// A flag says first whether it is zero.
    pub flagged: bool,
    /// Order of the exponential Golomb code of the rest.
    pub order: u8,
}

/// Starting points of all contexts of a schema, for one class of ages.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Of the range coder's numbers.
    pub numbers: Vec<[Node; NODES]>,
    /// Of the range coder's flags.
    pub flags: Vec<Node>,
    /// Of the prefix coder's numbers.
    pub golomb: Vec<Golomb>,
}

impl Tables {
    /// Adds a number's context.
    pub fn push(&mut self, prior: Option<Prior>) {
        let uses = if prior.is_some() { TRAINED } else { 0 };
        let prior = prior.unwrap_or(Prior::UNKNOWN);
        self.numbers.push(nodes(prior, uses));
        self.golomb.push(golomb(prior));
    }
}

/// Probabilities of a number whose magnitude falls off geometrically.
fn nodes(prior: Prior, uses: u16) -> [Node; NODES] {
    let mean = mean(prior.spread);
    // One more goes on with this probability.
    let more = 1.0 - 1.0 / mean.max(1.02);
    let mut nodes = [node(0.5, uses); NODES];
    nodes[0] = node(f64::from(prior.zero) / 256.0, uses);
    let mut goes_on = more;
    for (length, place) in (1..UNARY).enumerate() {
        nodes[place] = node(goes_on, uses);
        if length >= 1 {
            let half = goes_on.sqrt();
            nodes[second_bit(length + 1)] = node(half / (1.0 + half), uses);
        }
        goes_on *= goes_on;
    }
    nodes
}

fn golomb(prior: Prior) -> Golomb {
    let flagged = prior.zero > 154;
    let zero = f64::from(prior.zero) / 256.0;
    let typical = if flagged { mean(prior.spread) } else { mean(prior.spread) * (1.0 - zero) * 2.0 };
    let order = (0..20u8).find(|order| f64::from(1u32 << order) >= typical * 0.7).unwrap_or(20);
    Golomb { flagged, order }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prior_finds_back_what_it_was_made_of() {
        assert_eq!(Prior::of(100, 50, 100).spread, 8);
        assert_eq!(Prior::of(100, 0, 100), Prior { zero: 1, spread: 0 });
        assert_eq!(Prior::of(0, 0, 0), Prior::UNKNOWN);
    }

    #[test]
    fn wide_numbers_are_expected_to_be_long() {
        let p = |nodes: [Node; NODES], at: usize| nodes[at] >> 4;
        let (narrow, wide) =
            (nodes(Prior { zero: 10, spread: 4 }, 0), nodes(Prior { zero: 10, spread: 56 }, 0));
        assert!(p(narrow, 1) < p(wide, 1) && p(narrow, 4) < p(wide, 4));
        assert!(golomb(Prior { zero: 10, spread: 56 }).order > golomb(Prior { zero: 10, spread: 4 }).order);
    }
}
