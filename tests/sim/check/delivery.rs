//! Messages: what [`crate::chatter`] says must come as its channel promises.

use std::collections::{BTreeMap, BTreeSet};

use truetick_netcode::channel::Channel;
use truetick_netcode::limits::SLICE_BYTES;
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use crate::chatter::{CHANNELS, PERIOD, PatterCheck, message, parse, parse_patter};
use crate::mark::{Mark, Marks};

/// A client's place, its number, and which of its lives it is in.
pub type Session = (usize, ClientId, u64);

#[derive(Debug)]
struct Heard {
    of: (ClientId, u64),
    /// First tick whose messages are for it.
    since: Tick,
    /// Ticks heard, per channel.
    ticks: [BTreeSet<u32>; CHANNELS.len()],
    /// Tiny messages heard.
    patter: PatterCheck,
}

/// See the module.
#[derive(Debug, Default)]
pub struct DeliveryCheck {
    /// Tiny messages that are said in each tick.
    patter: u64,
    joined: BTreeMap<ClientId, Tick>,
    heard: BTreeMap<usize, Heard>,
}

impl DeliveryCheck {
    /// A checker where so many tiny messages are said in each tick.
    pub fn new(patter: u8) -> Self {
        Self { patter: patter.into(), ..Self::default() }
    }

    /// A client begins to be told: messages from `tick` on are for it.
    pub fn joined(&mut self, client: ClientId, tick: Tick) {
        self.joined.insert(client, tick);
    }

    /// A client was told something. False if it is none of ours.
    pub fn told(
        &mut self,
        (at, client, life): Session,
        (tick, data): (Tick, &[u8]),
        marks: &mut Marks,
        wrong: &mut Vec<String>,
    ) -> bool {
        let tiny = parse_patter(data);
        let known = parse(data);
        if tiny.is_none() && known.is_none() {
            return false;
        }
        let (since, of) =
            (self.joined.get(&client).copied().unwrap_or(Tick(u32::MAX - PERIOD)), (client, life));
        let patter = PatterCheck { next: Some(u64::from(since.0) * self.patter), came: 0 };
        let begin = || Heard { of, since, ticks: Default::default(), patter };
        let heard = self.heard.entry(at).or_insert_with(begin);
        if heard.of != of {
            *heard = begin();
        }
        if let Some((_, place)) = tiny {
            wrong.extend(heard.patter.take(place).map(|what| format!("client {at}: {what}")));
        }
        let Some((channel, said)) = known else { return true };
        let complaint = heard.check(channel, (tick, said), data);
        wrong.extend(
            complaint.map(|what| format!("client {at}, channel {channel}: message of {said} {what}")),
        );
        heard.ticks[channel].insert(said.0);
        marks.add(Mark::Sliced, u64::from(data.len() > SLICE_BYTES));
        true
    }

    /// Reliable messages said until `until` that a client was not told.
    pub fn untold(&self, (at, client, life): Session, until: Tick) -> Vec<String> {
        let Some(since) = self.joined.get(&client).copied() else {
            return vec![format!("client {at} plays in a session that the server never opened")];
        };
        let heard = self.heard.get(&at).filter(|heard| heard.of == (client, life));
        let reliable = (0..CHANNELS.len()).filter(|channel| CHANNELS[*channel] != Channel::Unreliable);
        let lacks = |channel: usize| {
            let mut due = due_from(channel, since)..=until.0;
            due.by_ref()
                .step_by(PERIOD as usize)
                .find(|tick| !heard.is_some_and(|heard| heard.ticks[channel].contains(tick)))
        };
        let came = heard.and_then(|heard| heard.patter.next).unwrap_or(0);
        let due = u64::from(until.next().0) * self.patter;
        let tiny = (came < due && self.patter > 0)
            .then(|| format!("client {at}: tiny messages {came} to {due} did not come"));
        reliable
            .filter_map(|channel| Some((channel, lacks(channel)?)))
            .map(|(channel, tick)| format!("client {at}, channel {channel}: message of {tick} did not come"))
            .chain(tiny)
            .collect()
    }
}

/// The first tick from `since` on at which a channel carries something.
fn due_from(channel: usize, since: Tick) -> u32 {
    (since.0..since.0 + PERIOD).find(|tick| tick % PERIOD == channel as u32).unwrap_or(since.0)
}

impl Heard {
    fn check(&self, channel: usize, (tick, said): (Tick, Tick), data: &[u8]) -> Option<String> {
        if tick != said || message(channel, said).as_deref() != Some(data) {
            return Some("is not what was said".into());
        }
        if said.0 < due_from(channel, self.since) {
            return Some(format!("was said before the session began at {}", self.since));
        }
        if self.ticks[channel].contains(&said.0) {
            return Some("came twice".into());
        }
        let next = self.ticks[channel].last().map_or(due_from(channel, self.since), |last| last + PERIOD);
        let ordered = matches!(CHANNELS[channel], Channel::Ordered(_));
        (ordered && said.0 != next).then(|| format!("came when that of {next} was next"))
    }
}
