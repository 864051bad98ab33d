//! Fields: what a number means, who sees it, how it is foreseen.

/// Who may see a field. What a client may not see is never sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// Everyone to whom the entity is relevant.
    Everyone,
    /// Clients of the entity's team, its owner among them.
    Team,
    /// Only the client that owns the entity.
    Owner,
    /// Nobody: kept for hashes, recordings and restoring.
    Server,
}

/// Whose copy of an entity is meant: selects the fields that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Any client that is neither of the following.
    Others = 0,
    /// A client of the entity's team.
    Team = 1,
    /// The owner.
    Owner = 2,
    /// The server itself: every field.
    Server = 3,
}

impl Audience {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Others, Self::Team, Self::Owner, Self::Server];

    /// Whether this audience holds fields of that visibility.
    pub fn sees(self, visibility: Visibility) -> bool {
        visibility as u8 <= self as u8
    }
}

/// How a field's number is to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// A plain unsigned number: a counter, an enumeration, a flag, a reference; shown as is, never
    /// interpolated.
    Count,
    /// `min + step * n`.
    Linear {
        /// Value of 0.
        min: f32,
        /// Distance between neighbours; a power of two, of which `min` is a multiple, so that every
        /// value on the grid is exact in `f32`.
        step: f32,
    },
    /// A direction: 0 to 2^bits - 1 is one turn.
    Turn,
}

/// How a field is foreseen from states that its receiver acknowledged; only the rest is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// As it was.
    Constant,
    /// It goes on as it went from one acknowledged state to a later one; as it was where only one
    /// is known. For velocities and directions.
    Linear,
    /// It moves by another field of its component, its velocity in units per second, at 60 ticks a
    /// second. (At another rate it is foreseen less well, and never wrongly decoded.) The velocity
    /// is sent before it.
    Moved {
        /// Place of the velocity in the component.
        velocity: u8,
    },
    /// One of the four fields of a quaternion, which goes on turning as it did; see
    /// [`crate::replication::quaternion`].
    Quaternion {
        /// Which: 0 names the largest component, 1 to 3 are the others in order.
        part: u8,
    },
}

/// One field of a component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Name, unique in its component.
    pub name: &'static str,
    /// How its number is to be read.
    pub scale: Scale,
    /// Bits of an absolute value, 1 to 32.
    pub bits: u32,
    /// Largest quantised value.
    pub max: u32,
    /// How it is foreseen.
    pub model: Estimator,
    /// Who may see it.
    pub visibility: Visibility,
    /// Whether clients predict it, so that reconciliation compares it.
    pub predicted: bool,
    /// Whether a change of it says that the entity was put elsewhere: see [`Field::teleport_mark`].
    pub marks_teleport: bool,
}

impl Field {
    const fn new(name: &'static str, scale: Scale, max: u32) -> Self {
        let (model, visibility) = (Estimator::Constant, Visibility::Everyone);
        let bits = if max == 0 { 1 } else { 32 - max.leading_zeros() };
        Self { name, scale, bits, max, model, visibility, predicted: false, marks_teleport: false }
    }

    /// A number from `min` to `max` (exclusive) in units of `step`, a power of two that divides
    /// both.
    pub const fn linear(name: &'static str, min: f32, max: f32, step: f32) -> Self {
        let count = ((max - min) / step) as u64;
        assert!(count > 1 && count <= 1 << 24, "a linear field has 2 to 2^24 values");
        assert!((min / step) as i64 as f32 * step == min, "min is a multiple of step");
        let bits = 64 - (count - 1).leading_zeros();
        Self::new(name, Scale::Linear { min, step }, u32::MAX >> (32 - bits))
    }

    /// An unsigned number of so many bits.
    pub const fn count(name: &'static str, bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 32, "a field has 1 to 32 bits");
        Self::new(name, Scale::Count, u32::MAX >> (32 - bits))
    }

    /// An unsigned number of at most `max`: a bounded integer, or an enumeration of `max + 1`
    /// choices.
    pub const fn up_to(name: &'static str, max: u32) -> Self {
        Self::new(name, Scale::Count, max)
    }

    /// A yes or no.
    pub const fn flag(name: &'static str) -> Self {
        Self::up_to(name, 1)
    }

    /// Another entity, as [`crate::replication::NetId::to_bits`] has it.
    pub const fn reference(name: &'static str) -> Self {
        Self::count(name, crate::replication::NetId::BITS)
    }

    /// A direction of so many bits to the turn.
    pub const fn turn(name: &'static str, bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 16, "a turn has 1 to 16 bits");
        Self::new(name, Scale::Turn, u32::MAX >> (32 - bits))
    }

    /// A rotation as its smallest three components of so many bits each (5 to 16) and the number of
    /// the largest: four fields, to stand in this order.
    pub const fn quaternion(names: [&'static str; 4], bits: u32) -> [Self; 4] {
        assert!(bits >= 5 && bits <= 16, "a component has 5 to 16 bits");
        let [largest, a, b, c] = names;
        [
            Self::part(largest, 0, 2),
            Self::part(a, 1, bits),
            Self::part(b, 2, bits),
            Self::part(c, 3, bits),
        ]
    }

    const fn part(name: &'static str, part: u8, bits: u32) -> Self {
        let mut field = Self::count(name, bits);
        field.model = Estimator::Quaternion { part };
        field
    }

    /// The same, foreseen by the way it went before.
    pub const fn extrapolated(mut self) -> Self {
        self.model = Estimator::Linear;
        self
    }

    /// The same, foreseen by its velocity, which stands at that place in its component.
    pub const fn moved_by(mut self, velocity: u8) -> Self {
        self.model = Estimator::Moved { velocity };
        self
    }

    /// The same, seen by the entity's team only.
    pub const fn team(mut self) -> Self {
        self.visibility = Visibility::Team;
        self
    }

    /// The same, seen by the owner only.
    pub const fn owner(mut self) -> Self {
        self.visibility = Visibility::Owner;
        self
    }

    /// The same, seen by nobody.
    pub const fn server(mut self) -> Self {
        self.visibility = Visibility::Server;
        self
    }

    /// The same, predicted by its owner.
    pub const fn predicted(mut self) -> Self {
        self.predicted = true;
        self
    }

    /// The same as a teleport mark. A game changes it, for example counts up, in the tick in which
    /// it puts the entity elsewhere: displays then cut instead of drawing the entity between both
    /// places. It is not part of the schema's hash, since it changes nothing on the wire.
    ///
    /// ```
    /// use truetick_netcode::schema::Field;
    ///
    /// const TELEPORTS: Field = Field::count("teleports", 2).teleport_mark();
    /// assert!(TELEPORTS.marks_teleport);
    /// ```
    pub const fn teleport_mark(mut self) -> Self {
        assert!(matches!(self.scale, Scale::Count), "a teleport mark is a count");
        self.marks_teleport = true;
        self
    }

    /// Largest quantised value.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// The nearest value in range of a number that a game made by itself: the largest for what is
    /// larger, the same direction for a turn.
    #[inline]
    pub const fn clamp(&self, n: u32) -> u32 {
        match self.scale {
            _ if n <= self.max => n,
            Scale::Turn => n & self.max,
            Scale::Count | Scale::Linear { .. } => self.max,
        }
    }

    /// The nearest grid value of `value` (radians for a turn); out of range goes to the nearest
    /// end, and what is no number to 0.
    pub fn quantise(&self, value: f32) -> u32 {
        match self.scale {
            Scale::Count => (value as u32).min(self.max),
            Scale::Linear { min, step } => (((value - min) / step).round() as u32).min(self.max),
            Scale::Turn => {
                let turns = f64::from(value) / std::f64::consts::TAU;
                ((turns - turns.floor()) * f64::from(1u32 << self.bits)).round() as u32 & self.max
            }
        }
    }

    /// The value at grid point `n`, in radians (0 to 2 pi) for a turn.
    pub fn value(&self, n: u32) -> f32 {
        match self.scale {
            Scale::Count => n as f32,
            Scale::Linear { min, step } => min + n as f32 * step,
            Scale::Turn => {
                (f64::from(n) * std::f64::consts::TAU / f64::from(1u32 << self.bits)) as f32
            }
        }
    }

    /// Signed change from `from` to `to`, the short way round for a turn. Wraps for 32-bit counts.
    #[inline]
    pub fn difference(&self, from: u32, to: u32) -> i32 {
        let plain = to.wrapping_sub(from) as i32;
        match self.scale {
            Scale::Turn => plain << (32 - self.bits) >> (32 - self.bits),
            _ => plain,
        }
    }

    /// The inverse of [`Self::difference`], `None` where that leaves the field's range.
    #[inline]
    pub fn apply(&self, from: u32, difference: i32) -> Option<u32> {
        let to = from.wrapping_add_signed(difference);
        match self.scale {
            Scale::Turn => Some(to & self.max),
            _ => (to <= self.max).then_some(to),
        }
    }
}
