//! A player's input for one tick, with its wire encoding.

use glam::Vec2;
use truetick_netcode::bits::{BitReader, BitWriter};
use truetick_netcode::command::Command;
use truetick_netcode::error::WireError;

/// Steps of [`ArenaCommand::aim`] in one turn.
pub const AIM_STEPS: u16 = 1 << 12;

/// A player's input for one tick. Every value that [`Command::read`] accepts is valid, so no value
/// that is out of range or not finite reaches the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaCommand {
    /// Wanted acceleration, x and y: -127 to 127 stand for -1 to 1 of the maximum. -128 is
    /// malformed.
    pub thrust: [i8; 2],
    /// Direction of fire, 0 to [`AIM_STEPS`] - 1 for one turn, counter-clockwise from the x axis.
    pub aim: u16,
    /// Whether to dash in the direction of thrust.
    pub dash: bool,
    /// Whether to fire in the direction of aim.
    pub fire: bool,
}

impl ArenaCommand {
    /// Makes a command from real numbers. `thrust` longer than 1 is clamped to length 1; `aim` is
    /// in radians and wraps. An input that is not finite gives a valid command.
    pub fn new(thrust: Vec2, aim: f32, dash: bool, fire: bool) -> Self {
        let thrust = (thrust.clamp_length_max(1.0) * 127.0).round();
        let turns = (aim / std::f32::consts::TAU).rem_euclid(1.0);
        let aim = (turns * f32::from(AIM_STEPS)) as u16 % AIM_STEPS;
        Self {
            thrust: [thrust.x as i8, thrust.y as i8],
            aim,
            dash,
            fire,
        }
    }

    /// Returns the thrust as a vector of length 0 to 1.
    pub fn thrust(&self) -> Vec2 {
        let [x, y] = self.thrust.map(f32::from);
        (Vec2::new(x, y) / 127.0).clamp_length_max(1.0)
    }

    /// Returns the direction of fire as a unit vector.
    pub fn direction(&self) -> Vec2 {
        Vec2::from_angle(f32::from(self.aim) * std::f32::consts::TAU / f32::from(AIM_STEPS))
    }
}

impl Command for ArenaCommand {
    fn write(&self, writer: &mut BitWriter) {
        for axis in self.thrust {
            writer.write(u32::from(axis as u8), 8);
        }
        writer.write(u32::from(self.aim), 12);
        writer.write_flag(self.dash);
        writer.write_flag(self.fire);
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
        let mut axis = || match reader.read(8)? as u8 as i8 {
            i8::MIN => Err(WireError::Malformed("thrust out of range")),
            axis => Ok(axis),
        };
        let thrust = [axis()?, axis()?];
        let aim = reader.read(12)? as u16;
        Ok(Self {
            thrust,
            aim,
            dash: reader.read_flag()?,
            fire: reader.read_flag()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_command_returns(x in -127i8..=127, y in -127i8..=127, aim in 0..AIM_STEPS, dash: bool, fire: bool) {
            let command = ArenaCommand { thrust: [x, y], aim, dash, fire };
            let mut writer = BitWriter::new();
            command.write(&mut writer);
            writer.pad_to_byte();
            prop_assert_eq!(ArenaCommand::read(&mut BitReader::new(writer.bytes())), Ok(command));
            prop_assert!(command.thrust().length() <= 1.0001);
        }

        #[test]
        fn any_real_input_gives_a_valid_command(x: f32, y: f32, aim: f32) {
            let command = ArenaCommand::new(Vec2::new(x, y), aim, false, false);
            prop_assert!(command.aim < AIM_STEPS && !command.thrust.contains(&i8::MIN));
        }
    }

    #[test]
    fn line_35_input_that_is_no_number_stands_still() {
        let still = ArenaCommand::new(Vec2::ZERO, 0.0, false, false);
        for wrong in [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MIN_POSITIVE / 2.0,
        ] {
            let command = ArenaCommand::new(Vec2::new(wrong, 0.0), wrong, false, false);
            let (mut writer, mut before) = (BitWriter::new(), BitWriter::new());
            command.write(&mut writer);
            still.write(&mut before);
            writer.pad_to_byte();
            before.pad_to_byte();
            assert_eq!(writer.bytes().len(), before.bytes().len());
            assert!(
                ArenaCommand::read(&mut BitReader::new(writer.bytes())).is_ok(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn thrust_out_of_range_is_refused() {
        assert!(ArenaCommand::read(&mut BitReader::new(&[0x80, 0, 0, 0])).is_err());
    }
}
