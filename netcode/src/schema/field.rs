//! Fields: the meaning of a number, who may see it, and how it is estimated.

/// Who may see a field. A client never receives a field that it may not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// Every client for which the entity is relevant.
    Everyone,
    /// Clients of the entity's team, and its owner.
    Team,
    /// Only the client that owns the entity.
    Owner,
    /// No client: the field is kept for hashes, recordings and restoring.
    Server,
}

/// The receiver of a copy of an entity, which determines the fields that the copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// A client that neither owns the entity nor is of its team.
    Others = 0,
    /// A client of the entity's team.
    Team = 1,
    /// The client that owns the entity.
    Owner = 2,
    /// The server itself, with every field.
    Server = 3,
}

impl Audience {
    /// All audiences, in ascending order of what they see.
    pub const ALL: [Self; 4] = [Self::Others, Self::Team, Self::Owner, Self::Server];

    /// Whether this audience holds fields of that visibility.
    pub fn sees(self, visibility: Visibility) -> bool {
        visibility as u8 <= self as u8
    }
}

/// How a field's grid value maps to a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// An unsigned integer: a counter, an enumeration, a flag or a reference. It is never
    /// interpolated.
    Count,
    /// A number on a linear grid: `min + step * n`.
    Linear {
        /// Value of grid point 0.
        min: f32,
        /// Distance between grid points: a power of two that divides `min`, so that every value on
        /// the grid is exact in `f32`.
        step: f32,
    },
    /// A direction: grid values 0 to 2^bits - 1 make one turn.
    Turn,
}

/// How a field is estimated from the states that its receiver acknowledged. Only the residual is
/// sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// The estimate is the baseline's value.
    Constant,
    /// The estimate continues the change between two acknowledged states; with only one, it is the
    /// baseline's value. For velocities and directions.
    Linear,
    /// The estimate adds a velocity, which is another field of the component, in units per second
    /// at 60 ticks per second. (At another tick rate the estimate is less accurate, but decoding
    /// stays correct.) The velocity is sent first.
    Velocity {
        /// Index of the velocity in the component.
        velocity: u8,
    },
    /// One of the four fields of a quaternion, whose estimate continues the last turn; see
    /// [`crate::replication::quaternion`].
    Rotation {
        /// Index in the quaternion: 0 is the number of the largest component, 1 to 3 are the other
        /// components in order.
        part: u8,
    },
}

/// One field of a component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Name of the field, unique in its component.
    pub name: &'static str,
    /// How the field's grid value maps to a value.
    pub scale: Scale,
    /// Number of bits of an absolute grid value, 1 to 32.
    pub bits: u32,
    /// Largest grid value.
    pub max: u32,
    /// How the field is estimated from baselines.
    pub model: Estimator,
    /// Who may see the field.
    pub visibility: Visibility,
    /// Whether the owning client predicts the field, so that reconciliation compares it.
    pub predicted: bool,
    /// Which changes of the field mark a teleport; see [`Field::teleport_mark`] and
    /// [`Field::revival_mark`].
    pub teleport: TeleportMark,
}

/// Which changes of a field's grid value mark a teleport. Displays cut there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TeleportMark {
    /// No change is a teleport.
    #[default]
    Never,
    /// Each change is a teleport.
    Change,
    /// A change from zero is a teleport.
    Revival,
}

impl TeleportMark {
    /// Whether the change between two successive grid values is a teleport.
    pub const fn is_between(self, from: u32, to: u32) -> bool {
        match self {
            Self::Never => false,
            Self::Change => from != to,
            Self::Revival => from == 0 && to != 0,
        }
    }
}

impl Field {
    const fn new(name: &'static str, scale: Scale, max: u32) -> Self {
        let (model, visibility) = (Estimator::Constant, Visibility::Everyone);
        let bits = if max == 0 {
            1
        } else {
            32 - max.leading_zeros()
        };
        Self {
            name,
            scale,
            bits,
            max,
            model,
            visibility,
            predicted: false,
            teleport: TeleportMark::Never,
        }
    }

    /// Creates a field for numbers from `min` to `max` (exclusive) in steps of `step`, a power of
    /// two that divides both. It is constant and visible to everyone by default. The range is
    /// extended to a power of two of steps.
    ///
    /// # Panics
    /// If there are not 2 to 2^24 values, or `min` is not a multiple of `step`.
    pub const fn linear(name: &'static str, min: f32, max: f32, step: f32) -> Self {
        let count = ((max - min) / step) as u64;
        assert!(
            count > 1 && count <= 1 << 24,
            "a linear field has 2 to 2^24 values"
        );
        assert!(
            (min / step) as i64 as f32 * step == min,
            "min is a multiple of step"
        );
        let bits = 64 - (count - 1).leading_zeros();
        Self::new(name, Scale::Linear { min, step }, u32::MAX >> (32 - bits))
    }

    /// Creates a field for an unsigned number of `bits` bits.
    ///
    /// # Panics
    /// If `bits` is not 1 to 32.
    pub const fn count(name: &'static str, bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 32, "a field has 1 to 32 bits");
        Self::new(name, Scale::Count, u32::MAX >> (32 - bits))
    }

    /// Creates a field for an unsigned number of at most `max`: a bounded integer, or an
    /// enumeration of `max + 1` variants.
    pub const fn up_to(name: &'static str, max: u32) -> Self {
        Self::new(name, Scale::Count, max)
    }

    /// Creates a field for a flag, 0 or 1.
    pub const fn flag(name: &'static str) -> Self {
        Self::up_to(name, 1)
    }

    /// Creates a field for a reference to an entity, encoded by
    /// [`crate::replication::NetId::to_bits`].
    pub const fn reference(name: &'static str) -> Self {
        Self::count(name, crate::replication::NetId::BITS)
    }

    /// Creates a field for a direction, with 2^`bits` grid values per turn.
    ///
    /// # Panics
    /// If `bits` is not 1 to 16.
    pub const fn turn(name: &'static str, bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 16, "a turn has 1 to 16 bits");
        Self::new(name, Scale::Turn, u32::MAX >> (32 - bits))
    }

    /// Creates the four fields of a rotation: the number of its largest component, then the other
    /// three with `bits` bits each. They must stay in this order.
    ///
    /// # Panics
    /// If `bits` is not 5 to 16.
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
        field.model = Estimator::Rotation { part };
        field
    }

    /// Estimates the field by continuing its last change; see [`Estimator::Linear`].
    pub const fn extrapolated(mut self) -> Self {
        self.model = Estimator::Linear;
        self
    }

    /// Estimates the field by its velocity, which is at index `velocity` in the component; see
    /// [`Estimator::Velocity`].
    pub const fn moved_by(mut self, velocity: u8) -> Self {
        self.model = Estimator::Velocity { velocity };
        self
    }

    /// Makes the field visible to the entity's team and owner only.
    pub const fn team(mut self) -> Self {
        self.visibility = Visibility::Team;
        self
    }

    /// Makes the field visible to the entity's owner only.
    pub const fn owner(mut self) -> Self {
        self.visibility = Visibility::Owner;
        self
    }

    /// Makes the field invisible to all clients.
    pub const fn server(mut self) -> Self {
        self.visibility = Visibility::Server;
        self
    }

    /// Marks the field as predicted by the entity's owner.
    pub const fn predicted(mut self) -> Self {
        self.predicted = true;
        self
    }

    /// Marks the field as a teleport mark. A game changes it, for example increments it, in the
    /// tick in which it teleports the entity. Displays then cut instead of interpolating between
    /// both places. The mark is not part of the schema's hash, because it changes nothing on the
    /// wire.
    ///
    /// ```
    /// use truetick_netcode::schema::Field;
    ///
    /// const TELEPORTS: Field = Field::count("teleports", 2).teleport_mark();
    /// assert!(TELEPORTS.teleport.is_between(1, 2));
    /// ```
    ///
    /// # Panics
    /// If the field is not a count.
    pub const fn teleport_mark(self) -> Self {
        self.marked(TeleportMark::Change)
    }

    /// Marks the field as a revival mark: a change from zero is a teleport, as with a health whose
    /// owner respawns elsewhere. Other changes are none. Like [`Field::teleport_mark`], it is not
    /// part of the schema's hash.
    ///
    /// ```
    /// use truetick_netcode::schema::Field;
    ///
    /// const HEALTH: Field = Field::count("health", 7).revival_mark();
    /// assert!(HEALTH.teleport.is_between(0, 100) && !HEALTH.teleport.is_between(100, 80));
    /// ```
    ///
    /// # Panics
    /// If the field is not a count.
    pub const fn revival_mark(self) -> Self {
        self.marked(TeleportMark::Revival)
    }

    const fn marked(mut self, mark: TeleportMark) -> Self {
        assert!(
            matches!(self.scale, Scale::Count),
            "a teleport mark is a count"
        );
        self.teleport = mark;
        self
    }

    /// Largest grid value.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// Maps a number to a valid grid value: a direction wraps, any other value is limited to the
    /// largest.
    #[inline]
    pub const fn clamp(&self, n: u32) -> u32 {
        match self.scale {
            _ if n <= self.max => n,
            Scale::Turn => n & self.max,
            Scale::Count | Scale::Linear { .. } => self.max,
        }
    }

    /// Returns the nearest grid value of `value` (radians for a direction; a count is truncated).
    /// Values out of range map to the nearest end, a direction wraps, and NaN maps to 0.
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

    /// Returns the value at grid point `n`, in radians (0 to 2 pi) for a direction.
    pub fn value(&self, n: u32) -> f32 {
        match self.scale {
            Scale::Count => n as f32,
            Scale::Linear { min, step } => min + n as f32 * step,
            Scale::Turn => {
                (f64::from(n) * std::f64::consts::TAU / f64::from(1u32 << self.bits)) as f32
            }
        }
    }

    /// Signed change from `from` to `to`, the shorter way for a direction. Wraps for 32-bit counts.
    #[inline]
    pub fn difference(&self, from: u32, to: u32) -> i32 {
        let plain = to.wrapping_sub(from) as i32;
        match self.scale {
            Scale::Turn => plain << (32 - self.bits) >> (32 - self.bits),
            _ => plain,
        }
    }

    /// Adds a change that [`Self::difference`] returned; `None` if the result is out of the field's
    /// range.
    #[inline]
    pub fn apply(&self, from: u32, difference: i32) -> Option<u32> {
        let to = from.wrapping_add_signed(difference);
        match self.scale {
            Scale::Turn => Some(to & self.max),
            _ => (to <= self.max).then_some(to),
        }
    }
}
