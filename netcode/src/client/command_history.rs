//! The client's commands that the server may not have yet.

use std::collections::VecDeque;

use crate::bits::BitWriter;
use crate::command::{Command, write_commands};
use crate::limits::COMMANDS_PER_PACKET;
use crate::sequence::Sequence;
use crate::tick::Tick;

/// Commands that were sent and are not acknowledged, and the packets that carried them.
#[derive(Debug)]
pub(crate) struct CommandHistory<C> {
    /// Consecutive commands, oldest first.
    commands: VecDeque<C>,
    newest: Tick,
    /// Newest tick in each packet in flight.
    packets: VecDeque<(Sequence, Tick)>,
}

impl<C: Command> Default for CommandHistory<C> {
    fn default() -> Self {
        Self {
            commands: VecDeque::new(),
            newest: Tick(0),
            packets: VecDeque::new(),
        }
    }
}

impl<C: Command> CommandHistory<C> {
    /// Adds the command for `tick`. A gap before it drops all earlier commands. At most
    /// [`COMMANDS_PER_PACKET`] are kept.
    pub fn push(&mut self, tick: Tick, command: C) {
        if !self.commands.is_empty() && tick != self.newest.next() {
            self.commands.clear();
        }
        self.newest = tick;
        self.commands.push_back(command);
        if self.commands.len() > COMMANDS_PER_PACKET {
            self.commands.pop_front();
        }
    }

    /// Writes every command that the server may lack into the packet `sequence`. At least one
    /// command must have been pushed.
    pub fn write(&mut self, writer: &mut BitWriter, sequence: Sequence) {
        write_commands(writer, self.newest, self.commands.iter());
        self.packets.push_back((sequence, self.newest));
        if self.packets.len() > 256 {
            self.packets.pop_front();
        }
    }

    /// Drops the commands up to the newest one in an acknowledged packet.
    pub fn packet_acked(&mut self, sequence: Sequence) {
        if let Some((_, tick)) = self
            .packets
            .iter()
            .find(|(sent, _)| *sent == sequence)
            .copied()
        {
            self.packets.retain(|(sent, _)| *sent > sequence);
            self.settled(tick);
        }
    }

    /// Drops the commands up to `tick`: the server has them or simulated past them. The newest
    /// command stays, so that there is always one to send.
    pub fn settled(&mut self, tick: Tick) {
        while self.commands.len() > 1 && !self.oldest().is_after(tick) {
            self.commands.pop_front();
        }
    }

    fn oldest(&self) -> Tick {
        self.newest.back(self.commands.len() as u32 - 1)
    }
}
