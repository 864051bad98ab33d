//! Prior probabilities of coded numbers: ten bytes for each context.
//!
//! The bytes come from recorded play (`cargo run -p truetick-benches --bin train`), and both sides
//! hold equal ones. The range coder's initial probabilities follow from them. Only additions and
//! multiplications are used, so that every machine computes equal results.

/// Number of binary decisions for one number in the range coder: whether it is zero, its length in
/// unary, its second-highest bit.
pub(crate) const NODES: usize = 24;

/// Lengths below this are coded in unary; longer ones add five raw bits.
pub const UNARY: usize = 12;

/// Index of the node for the second-highest bit of a number of `length` bits (2 to [`UNARY`] - 1).
pub(crate) const fn second_bit(length: usize) -> usize {
    UNARY + length - 1
}

/// Number of lengths for which a [`Prior`] holds the probability that the number is longer.
pub(crate) const LENGTHS: usize = 8;

/// Probabilities of one number in one context, in units of 1/256. Byte 0: the number is zero. Bytes
/// 1 to 8: the magnitude has more than 1 to 8 bits, given that it has at least that many. Byte 9:
/// the second-highest bit of the magnitude is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior(pub [u8; LENGTHS + 2]);

impl Prior {
    /// Prior of a number without training data: zero and each longer length have a probability of
    /// one half.
    pub const UNKNOWN: Self = Self([128, 128, 128, 128, 128, 128, 128, 128, 128, 112]);

    /// Computes the prior from counts of trained numbers: `lengths` by the bit length of the
    /// magnitude (0 to 32), and `seconds`, the count of those whose second-highest bit was set.
    /// Returns [`Self::UNKNOWN`] if all counts are zero.
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

/// Share of `part` in `whole` in units of 1/256 (1 to 255), with half an observation added to each
/// outcome, so that no outcome becomes impossible.
fn share(part: u64, whole: u64) -> u8 {
    ((2 * part + 1) * 256 / (2 * whole + 2)).clamp(1, 255) as u8
}

/// Adaptive probability of a binary decision: 12 bits of probability above 4 bits that count its
/// uses (0 to 15).
pub type Node = u16;

/// Initial use count of a trained node; the higher it is, the more slowly the node adapts.
const TRAINED: u16 = 9;

/// Creates a node with a probability from 0 to 1 (limited to 32/4096 to 4064/4096) and a use count
/// from 0 to 15.
pub fn node(probability: f64, uses: u16) -> Node {
    let p = (probability * 4096.0) as u16;
    p.clamp(32, 4064) << 4 | uses
}

/// Initial contexts of a schema, for one class of baseline ages.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Initial nodes of each number's context.
    pub numbers: Vec<[Node; NODES]>,
    /// Initial node of each flag's context.
    pub flags: Vec<Node>,
}

impl Tables {
    /// Appends the context of a number; `None` uses [`Prior::UNKNOWN`] and adapts fast.
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
