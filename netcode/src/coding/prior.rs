//! What is expected of numbers before any was seen: ten bytes for each context.
//!
//! The bytes come from recorded play (`cargo run -p truetick-benches --bin train`), and both sides
//! hold the same. From them follow the probabilities that the range coder starts from. Only
//! additions and multiplications are used, so that every machine computes the same.

/// Binary decisions of one number in the range coder: zero or not, its length in unary, its second
/// bit.
pub const NODES: usize = 24;

/// Lengths that are told in unary; longer ones are told in five raw bits.
pub const UNARY: usize = 12;

/// Place of the node for the second bit of a number of `length` bits (2 to [`UNARY`] - 1).
pub const fn second_bit(length: usize) -> usize {
    UNARY + length - 1
}

/// Lengths whose going on has a byte of its own in a [`Prior`].
pub const LENGTHS: usize = 8;

/// Expectation of one number in one context, of 256 each: that it is zero; that its magnitude's
/// length, being at least 1 (2, 3, ... 8) bits, is longer; that the second bit of a magnitude is
/// set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior(pub [u8; LENGTHS + 2]);

impl Prior {
    /// Nothing is known: zero every other time, else some units.
    pub const UNKNOWN: Self = Self([128, 128, 128, 128, 128, 128, 128, 128, 128, 112]);

    /// The prior of numbers that were seen: by length of the magnitude (0 to 32) how many, and of
    /// those with a second bit in how many it was set.
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

/// Starting points of all contexts of a schema, for one class of ages.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Nodes of each number.
    pub numbers: Vec<[Node; NODES]>,
    /// Node of each flag.
    pub flags: Vec<Node>,
}

impl Tables {
    /// Adds a number's context.
    pub fn push(&mut self, prior: Option<Prior>) {
        let uses = if prior.is_some() { TRAINED } else { 0 };
        let prior = prior.unwrap_or(Prior::UNKNOWN);
        self.numbers.push(nodes(prior, uses));
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
            prior.0[0].abs_diff(128) <= 1
                && prior.0[1].abs_diff(128) <= 1
                && prior.0[2].abs_diff(128) <= 1
        );
        assert!(prior.0[3] <= 1);
        assert_eq!(seen(&[]), Prior::UNKNOWN);
    }
}
