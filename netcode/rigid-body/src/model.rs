//! Trained models: a network, and the frequency tables of its residuals.
//!
//! Two models are built in, made by `cargo run --release -p truetick-benches --bin train -- bodies`
//! from recorded piles of boxes: [`Model::fast`], and [`Model::dense`], which takes more time for
//! fewer bytes.

use std::sync::OnceLock;

use super::network::{Network, Shape};
use super::symbols::{PARTS, Tables};
use truetick_netcode::coding::symbols::SymbolTables;

/// First bytes of a model: its format and the version of that.
const MAGIC: [u8; 4] = *b"TTB1";

/// A trained model: the network that estimates motion, and the tables that code what remains.
#[derive(Debug)]
pub struct Model {
    /// The network that estimates how a body moves.
    pub network: Network,
    /// Frequency tables of all symbols.
    pub tables: Tables,
}

impl Model {
    /// Returns the built-in model that takes the least time.
    ///
    /// # Panics
    /// Never: the model is a part of the program, and a test reads it.
    pub fn fast() -> &'static Self {
        static MODEL: OnceLock<Model> = OnceLock::new();
        MODEL.get_or_init(|| Self::parse(include_bytes!("fast.model")).expect("it is built in"))
    }

    /// Returns the built-in model that makes the fewest bytes.
    ///
    /// # Panics
    /// Never: the model is a part of the program, and a test reads it.
    pub fn dense() -> &'static Self {
        static MODEL: OnceLock<Model> = OnceLock::new();
        MODEL.get_or_init(|| Self::parse(include_bytes!("dense.model")).expect("it is built in"))
    }

    /// Creates a model from a network and the weights of all symbols: for each of [`PARTS`], the
    /// weights of all contexts, one after the other.
    pub fn new(network: Network, weights: &[Vec<u16>; PARTS.len()]) -> Self {
        let tables = PARTS.map(|part| SymbolTables::new(part.size().1, &weights[part as usize]));
        Self {
            network,
            tables: Tables(tables),
        }
    }

    /// Parses a model. Returns `None` if the bytes are not a model of this version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Bytes(bytes);
        (reader.take(MAGIC.len())? == MAGIC).then_some(())?;
        let width = |bytes: &[u8]| usize::from(bytes[0]);
        let shape = Shape {
            first: width(reader.take(1)?),
            second: width(reader.take(1)?),
        };
        let floats = reader.take(shape.weights() * 4)?.chunks_exact(4);
        let floats: Vec<f32> = floats
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let network = Network::new(shape, &floats)?;
        let mut weights = PARTS.map(|_| Vec::new());
        for part in PARTS {
            let (contexts, symbols) = part.size();
            for _ in 0..contexts * symbols {
                weights[part as usize].push(reader.weight()?);
            }
        }
        reader.0.is_empty().then(|| Self::new(network, &weights))
    }

    /// Serialises a model from the arguments of [`Model::new`]: the magic, the shape, the network's
    /// weights as little-endian f32, then the symbols' weights (0 to 32,767), one byte each below
    /// 128, else two.
    pub fn to_bytes(shape: Shape, network: &[f32], weights: &[Vec<u16>; PARTS.len()]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([shape.first as u8, shape.second as u8]);
        bytes.extend(network.iter().flat_map(|weight| weight.to_le_bytes()));
        for weight in weights.iter().flatten() {
            match *weight {
                small @ 0..128 => bytes.push(small as u8),
                large => bytes.extend([(large >> 8) as u8 | 128, large as u8]),
            }
        }
        bytes
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn weight(&mut self) -> Option<u16> {
        let first = u16::from(self.take(1)?[0]);
        if first < 128 {
            return Some(first);
        }
        Some((first & 127) << 8 | u16::from(self.take(1)?[0]))
    }
}
