//! What is expected of numbers before any was seen: ten bytes for each context.
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

/// Lengths whose going on has a byte of its own in a [`Prior`].
pub const LENGTHS: usize = 8;

/// Expectation of one number in one context, of 256 each: that it is zero; that its magnitude's length, being at least 1 (2,
/// 3, ... 8) bits, is longer; that the second bit of a magnitude is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior(pub [u8; LENGTHS + 2]);

impl Prior {
    /// Nothing is known: zero every other time, else some units.
    pub const UNKNOWN: Self = Self([128, 128, 128, 128, 128, 128, 128, 128, 128, 112]);

    /// The prior of numbers that were seen: by length of the magnitude (0 to 32) how many, and of those with a second bit in
    /// how many it was set.
    pub fn of(lengths: &[u64; 33], seconds: u64) -> Self {
        let total: u64 = lengths.iter().sum();
        if total == 0 {
            return Self::UNKNOWN;
        }
        let mut bytes = [0; LENGTHS + 2];
        bytes[0] = share(lengths[0], total);
        for at in 1..=LENGTHS {
            bytes[at] = share(lengths[at + 1..].iter().sum(), lengths[at..].iter().sum());
        }
        bytes[LENGTHS + 1] = share(seconds, lengths[2..].iter().sum());
        Self(bytes)
    }

    /// Probability that the magnitude's length is each of 0 to 32 bits.
    fn lengths(self) -> [f64; 33] {
        let p = |byte: u8| f64::from(byte) / 256.0;
        let mut lengths = [0.0; 33];
        lengths[0] = p(self.0[0]);
        let mut left = 1.0 - lengths[0];
        for (length, share) in lengths.iter_mut().enumerate().skip(1) {
            let longer = p(self.0[length.min(LENGTHS)]);
            *share = left * (1.0 - longer);
            left *= longer;
        }
        lengths
    }
}

/// A part of a whole, of 256, with half a chance added for what was not seen.
fn share(part: u64, whole: u64) -> u8 {
    ((2 * part + 1) * 256 / (2 * whole + 2)).clamp(1, 255) as u8
}

/// A probability of 12 bits above a count of 4: how often the node was used, up to 15.
pub type Node = u16;

/// How often a trained node counts as used at the start.
const TRAINED: u16 = 9;

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

fn nodes(prior: Prior, uses: u16) -> [Node; NODES] {
    let p = |byte: u8| node(f64::from(byte) / 256.0, uses);
    let mut nodes = [p(prior.0[0]); NODES];
    for (length, node) in nodes.iter_mut().enumerate().take(UNARY).skip(1) {
        *node = p(prior.0[length.min(LENGTHS)]);
    }
    for length in 2..UNARY {
        nodes[second_bit(length)] = p(prior.0[LENGTHS + 1]);
    }
    nodes
}

/// The code that takes the fewest bits of those that there are.
fn golomb(prior: Prior) -> Golomb {
    let lengths = prior.lengths();
    // A magnitude of so many bits, its sign behind it, in an exponential Golomb code: two more for each bit above the order.
    let bits = |length: usize, order: u8| match length as u32 {
        short if short < u32::from(order) => 1 + u32::from(order),
        long => 1 + u32::from(order) + 2 * long.saturating_sub(order.into()).max(1),
    };
    let cost = |flagged: bool, order: u8| -> f64 {
        let rest = if flagged { 1 } else { 0 };
        let each = lengths.iter().enumerate().skip(rest);
        each.map(|(length, share)| share * f64::from(bits(length, order))).sum::<f64>()
            + f64::from(rest as u8)
    };
    let choices = (0..13u8).flat_map(|order| [false, true].map(|flagged| Golomb { flagged, order }));
    let dearer = |a: &Golomb, b: &Golomb| cost(a.flagged, a.order).total_cmp(&cost(b.flagged, b.order));
    choices.min_by(dearer).unwrap_or(Golomb { flagged: false, order: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lengths: &[u64]) -> Prior {
        let mut all = [0; 33];
        all[..lengths.len()].copy_from_slice(lengths);
        Prior::of(&all, 0)
    }

    #[test]
    fn a_prior_says_what_was_seen() {
        let prior = seen(&[500, 250, 125, 125]);
        assert!(
            prior.0[0].abs_diff(128) <= 1 && prior.0[1].abs_diff(128) <= 1 && prior.0[2].abs_diff(128) <= 1
        );
        assert!(prior.0[3] <= 1);
        assert!((prior.lengths().iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(seen(&[]), Prior::UNKNOWN);
    }

    #[test]
    fn the_code_fits_the_numbers() {
        assert!(golomb(seen(&[990, 5, 5])).flagged);
        assert!(!golomb(seen(&[30, 300, 300, 300])).flagged);
        assert!((5..=6).contains(&golomb(seen(&[1, 1, 2, 4, 8, 16, 900, 30])).order));
    }
}
