//! Commands on the wire: a player's input, tagged with the tick that it is for.
//!
//! Each packet repeats every command that the server may not have, so that a lost packet loses no
//! command.
//!
//! ```text
//! newest tick:32  golomb(count - 1, 2)  { same-as-before:1 [ command ] }     oldest first
//! ```

use std::fmt::Debug;

use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::limits::COMMANDS_PER_PACKET;
use crate::replication::NetId;
use crate::tick::Tick;

/// A player's input for one tick.
pub trait Command: Clone + Debug + Default + PartialEq + Send + Sync + 'static {
    /// Writes the command. [`COMMANDS_PER_PACKET`] of them must fit into a packet beside messages,
    /// so one should take about 120 bits at most.
    fn write(&self, writer: &mut BitWriter);

    /// Reads a command and checks the range of every field: the game executes whatever passes.
    ///
    /// # Errors
    /// [`WireError`] if the bits are not a valid command.
    fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError>;

    /// Returns the entities that the command names; none by default.
    ///
    /// Before a room executes a command, it sets each target that the client does not see to
    /// `None`. So a client that guesses a hidden entity learns no more than if it named one that
    /// does not exist.
    fn targets(&mut self) -> &mut [Option<NetId>] {
        &mut []
    }
}

/// Writes 1 to [`COMMANDS_PER_PACKET`] commands of consecutive ticks, oldest first; the last one is
/// for `newest`.
///
/// # Panics
/// In debug builds, if there is no command or there are too many.
pub fn write_commands<'a, C: Command>(
    writer: &mut BitWriter,
    newest: Tick,
    commands: impl ExactSizeIterator<Item = &'a C>,
) {
    debug_assert!((1..=COMMANDS_PER_PACKET).contains(&commands.len()));
    writer.write(newest.0, 32);
    writer.write_golomb(commands.len() as u32 - 1, 2);
    let mut before = C::default();
    for command in commands {
        writer.write_flag(*command == before);
        if *command != before {
            command.write(writer);
            before = command.clone();
        }
    }
}

/// Reads the commands of a packet with their ticks, oldest first.
///
/// # Errors
/// [`WireError`] if there are more than [`COMMANDS_PER_PACKET`] commands or one is invalid.
pub fn read_commands<C: Command>(reader: &mut BitReader<'_>) -> Result<Vec<(Tick, C)>, WireError> {
    let newest = Tick(reader.read(32)?);
    let count = reader.read_golomb(2)?.saturating_add(1);
    if count as usize > COMMANDS_PER_PACKET {
        return Err(WireError::Malformed("too many commands in a packet"));
    }
    let mut commands = Vec::with_capacity(count as usize);
    let mut before = C::default();
    for back in (0..count).rev() {
        if !reader.read_flag()? {
            before = C::read(reader)?;
        }
        commands.push((newest.back(back), before.clone()));
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Press(u8);

    impl Command for Press {
        fn write(&self, writer: &mut BitWriter) {
            writer.write(u32::from(self.0), 8);
        }

        fn read(reader: &mut BitReader<'_>) -> Result<Self, WireError> {
            Ok(Self(reader.read(8)? as u8))
        }
    }

    proptest! {
        #[test]
        fn commands_return(newest in any::<u32>(), presses in proptest::collection::vec(0u8..3, 1..=COMMANDS_PER_PACKET)) {
            let commands: Vec<Press> = presses.into_iter().map(Press).collect();
            let mut writer = BitWriter::new();
            write_commands(&mut writer, Tick(newest), commands.iter());
            writer.pad_to_byte();
            let read = read_commands::<Press>(&mut BitReader::new(writer.bytes())).unwrap();
            prop_assert_eq!(read.last().unwrap().0, Tick(newest));
            prop_assert_eq!(read[0].0, Tick(newest).back(commands.len() as u32 - 1));
            prop_assert_eq!(read.into_iter().map(|(_, c)| c).collect::<Vec<_>>(), commands);
        }
    }
}
