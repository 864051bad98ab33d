//! Checks that the messages of [`crate::messaging_game`] arrive as their channels promise.

use std::collections::{BTreeMap, BTreeSet};

use truetick_netcode::channel::Channel;
use truetick_netcode::limits::SLICE_BYTES;
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;

use crate::mark::{Mark, Marks};
use crate::messaging_game::{CHANNELS, PERIOD, PatterCheck, message, parse, parse_patter};

/// A session of a client in the run.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Index of the client in the run.
    pub at: usize,
    /// Id that the server gave the client.
    pub client: ClientId,
    /// Number of lives before the client's present one.
    pub life: u64,
}

/// A message of the game that a client received.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The tick that the message is of.
    pub tick: Tick,
    /// The bytes of the message.
    pub data: &'a [u8],
}

#[derive(Debug)]
struct Heard {
    of: (ClientId, u64),
    /// First tick whose messages are for the client, if it was joined.
    since: Option<Tick>,
    /// Ticks of received messages, per channel, continued where ticks wrap.
    ticks: [BTreeSet<u64>; CHANNELS.len()],
    /// Received small messages.
    patter: PatterCheck,
}

/// A tick continued from `since` where ticks wrap; `None` if it is before that.
fn counted(tick: Tick, since: Tick) -> Option<u64> {
    (!since.is_after(tick)).then(|| u64::from(since.0) + u64::from(tick.since(since)))
}

/// Checks the messages that clients receive.
#[derive(Debug, Default)]
pub(crate) struct DeliveryCheck {
    /// Number of small messages per tick.
    patter: u64,
    joined: BTreeMap<ClientId, Tick>,
    heard: BTreeMap<usize, Heard>,
}

impl DeliveryCheck {
    /// Creates a checker for `patter` small messages per tick.
    pub fn new(patter: u8) -> Self {
        Self {
            patter: patter.into(),
            ..Self::default()
        }
    }

    /// Records that messages from `tick` on are sent to a client.
    pub fn joined(&mut self, client: ClientId, tick: Tick) {
        self.joined.insert(client, tick);
    }

    /// Checks a message that a client received. Returns false if it is not one of the messaging
    /// game.
    pub fn told(
        &mut self,
        session: Session,
        received: Message<'_>,
        marks: &mut Marks,
        wrong: &mut Vec<String>,
    ) -> bool {
        let Session { at, client, life } = session;
        let data = received.data;
        let (tiny, known) = (parse_patter(data), parse(data));
        if tiny.is_none() && known.is_none() {
            return false;
        }
        let (since, of) = (self.joined.get(&client).copied(), (client, life));
        let patter = PatterCheck {
            next: since.map(|since| u64::from(since.0) * self.patter),
            came: 0,
        };
        let begin = || Heard {
            of,
            since,
            ticks: Default::default(),
            patter,
        };
        let heard = self.heard.entry(at).or_insert_with(begin);
        if heard.of != of {
            *heard = begin();
        }
        if let Some((each_tick, place)) = tiny {
            wrong.extend(
                heard
                    .patter
                    .take(each_tick, place)
                    .map(|what| format!("client {at}: {what}")),
            );
        }
        let Some((channel, said)) = known else {
            return true;
        };
        let complaint = heard.check(channel, said, received);
        wrong.extend(
            complaint
                .map(|what| format!("client {at}, channel {channel}: message of {said} {what}")),
        );
        heard.ticks[channel].extend(heard.since.and_then(|since| counted(said, since)));
        marks.add(Mark::Sliced, u64::from(data.len() > SLICE_BYTES));
        true
    }

    /// Returns the reliable messages sent until `until` that a client did not receive.
    pub fn untold(&self, session: Session, until: Tick) -> Vec<String> {
        let Session { at, client, life } = session;
        let Some(since) = self.joined.get(&client).copied() else {
            return vec![format!(
                "client {at} plays in a session that the server never opened"
            )];
        };
        let heard = self
            .heard
            .get(&at)
            .filter(|heard| heard.of == (client, life));
        let reliable =
            (0..CHANNELS.len()).filter(|channel| CHANNELS[*channel] != Channel::Unreliable);
        let first_untold = u64::from(until.next().0) * self.patter;
        let came = heard
            .and_then(|heard| heard.patter.next)
            .unwrap_or(u64::from(since.0) * self.patter);
        // Ticks wrap, and the numbers of small messages with them.
        let round = (self.patter << 32).max(1);
        let lacking = (first_untold + round - came % round) % round;
        let tiny = (lacking > 0 && lacking < round / 2)
            .then(|| format!("client {at}: {lacking} tiny messages from {came} on did not come"));
        let until = counted(until, since).unwrap_or(0);
        let lacks = |channel: usize| {
            let due = |tick: &u64| is_due(channel, *tick);
            let is_lacking =
                |tick: &u64| !heard.is_some_and(|heard| heard.ticks[channel].contains(tick));
            (u64::from(since.0)..=until).filter(due).find(is_lacking)
        };
        reliable
            .filter_map(|channel| Some((channel, lacks(channel)?)))
            .map(|(channel, tick)| {
                format!("client {at}, channel {channel}: message of {tick} did not come")
            })
            .chain(tiny)
            .collect()
    }
}

/// Whether a channel carries a message at a tick, which is continued where ticks wrap.
fn is_due(channel: usize, tick: u64) -> bool {
    tick as u32 % PERIOD == channel as u32
}

impl Heard {
    /// Checks a message whose bytes name the tick `said`.
    fn check(&self, channel: usize, said: Tick, received: Message<'_>) -> Option<String> {
        let is_genuine = message(channel, said).as_deref() == Some(received.data);
        if received.tick != said || !is_genuine {
            return Some("is not what was said".into());
        }
        let since = self.since.unwrap_or(said.next());
        let Some(at) = counted(said, since) else {
            return Some(format!("was said before the session began at {since}"));
        };
        if self.ticks[channel].contains(&at) {
            return Some("came twice".into());
        }
        let after = self.ticks[channel]
            .last()
            .map_or(u64::from(since.0), |last| last + 1);
        let next = (after..)
            .find(|tick| is_due(channel, *tick))
            .unwrap_or(after);
        let ordered = matches!(CHANNELS[channel], Channel::Ordered(_));
        (ordered && at != next).then(|| format!("came when that of {next} was next"))
    }
}
