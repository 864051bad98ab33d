//! The client's commands that the server may not have yet.

use std::collections::VecDeque;

use crate::bits::BitWriter;
use crate::command::{Command, write_commands};
use crate::limits::COMMANDS_PER_PACKET;
use crate::sequence::Sequence;
use crate::tick::Tick;

/// Commands sent and not yet known to have come, and which packets carried them.
#[derive(Debug)]
pub struct CommandHistory<C> {
    /// Consecutive, oldest first.
    commands: VecDeque<C>,
    newest: Tick,
    /// Newest tick in each packet in flight.
    packets: VecDeque<(Sequence, Tick)>,
}

impl<C: Command> Default for CommandHistory<C> {
    fn default() -> Self {
        Self { commands: VecDeque::new(), newest: Tick(0), packets: VecDeque::new() }
    }
}

impl<C: Command> CommandHistory<C> {
    /// Adds the command for `tick`; a gap to the one before forgets what came before it.
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

    /// Writes every command that the server may lack; at least one must have been pushed.
    pub fn write(&mut self, writer: &mut BitWriter, sequence: Sequence) {
        write_commands(writer, self.newest, self.commands.iter());
        self.packets.push_back((sequence, self.newest));
        if self.packets.len() > 256 {
            self.packets.pop_front();
        }
    }

    /// The server has the packet, hence every command up to its newest.
    pub fn packet_acked(&mut self, sequence: Sequence) {
        if let Some((_, tick)) = self.packets.iter().find(|(sent, _)| *sent == sequence).copied() {
            self.packets.retain(|(sent, _)| *sent > sequence);
            self.settled(tick);
        }
    }

    /// The server needs no command up to `tick` any more: it has them or simulated past them. The
    /// newest stays, so that there is always something to send.
    pub fn settled(&mut self, tick: Tick) {
        while self.commands.len() > 1 && !self.oldest().is_after(tick) {
            self.commands.pop_front();
        }
    }

    fn oldest(&self) -> Tick {
        self.newest.back(self.commands.len() as u32 - 1)
    }
}
