//! An adaptive binary range coder: 32 bits of range, probabilities of 12 bits that adapt with use.
//!
//! Trailing zero bytes are omitted from a stream: the decoder reads zeros past the end.

mod decoder;
mod encoder;

use std::ops::Range;

use super::prior::{NODES, Node, Tables};

pub use decoder::RangeDecoder;
pub use encoder::RangeEncoder;

/// Adaptation rate by use count: a node moves towards the outcome by 1/2^rate of the distance.
const RATE: [u16; 16] = [1, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5];

#[inline]
fn learn(node: &mut Node, one: bool) {
    let (p, uses) = (*node >> 4, *node & 15);
    let rate = RATE[usize::from(uses)];
    let p = if one {
        p + ((4096 - p) >> rate)
    } else {
        p - (p >> rate)
    };
    *node = p.clamp(32, 4064) << 4 | (uses + 1).min(15);
}

/// Contexts of one stream, initialised from the tables. Only the parts that are used are copied.
#[derive(Clone, Debug, Default)]
pub struct Contexts {
    numbers: Vec<[Node; NODES]>,
    flags: Vec<Node>,
    /// Bit mask of the parts that are initialised.
    ready: u64,
}

impl Contexts {
    fn begin(&mut self, tables: &Tables) {
        self.numbers.resize(tables.numbers.len(), [0; NODES]);
        self.flags.resize(tables.flags.len(), 0);
        self.ready = 0;
    }

    #[inline]
    fn prepare(
        &mut self,
        tables: &Tables,
        part: usize,
        numbers: &Range<usize>,
        flags: &Range<usize>,
    ) {
        if self.ready >> part & 1 == 0 {
            self.ready |= 1 << part;
            self.numbers[numbers.clone()].copy_from_slice(&tables.numbers[numbers.clone()]);
            self.flags[flags.clone()].copy_from_slice(&tables.flags[flags.clone()]);
        }
    }
}
