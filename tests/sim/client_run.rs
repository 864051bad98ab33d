//! Runs of a client's process: it reads its socket, plays, and sends into the network.

use truetick_netcode::client::runtime::ClientEvent;

use crate::check::delivery::Message;
use crate::check::display::Life;
use crate::mark::Mark;
use crate::network::{LinkId, Way};
use crate::world::{Event, Sim};

impl Sim {
    pub(crate) fn run_client(&mut self, at: usize) {
        if !self.clients[at].is_up() {
            return;
        }
        let (held, wrong) = self.clients[at].process.take_held(self.now);
        self.check_stamps("a client", wrong);
        for (_, bytes, arrived) in held {
            self.client_takes(at, &bytes, arrived);
        }
        let client = &mut self.clients[at];
        let shown = client.process.clock.at(self.now);
        if client.wants_to_rejoin(shown) {
            let token = self.token(at);
            self.clients[at].restart(&self.kinds, token, self.now);
            self.marks.hit(Mark::ClientCameBack);
            self.tell(&format!("client {at}: joins again"));
        }
        let client = &mut self.clients[at];
        client.bot.advance(shown);
        if let Some(frame) = client.draw(shown) {
            let life = Life {
                client: at,
                life: client.life,
            };
            self.checks.shown(life, frame, &mut self.marks);
        }
        self.after_client(at);
    }

    /// Sends a client's datagrams and records its events after it ran.
    pub(crate) fn after_client(&mut self, at: usize) {
        let client = &mut self.clients[at];
        while let Some((_, bytes)) = client.bot.poll_transmit() {
            let link = LinkId {
                path: client.path,
                way: Way::Up,
            };
            self.network.send(
                link,
                &bytes.into_bytes(),
                self.now,
                &mut self.events,
                &mut self.marks,
            );
        }
        while let Some(event) = self.clients[at].bot.poll_event() {
            self.note_client_event(at, event);
        }
        self.schedule_client(at);
    }

    fn note_client_event(&mut self, at: usize, event: ClientEvent) {
        let client = &mut self.clients[at];
        match event {
            ClientEvent::Mispredicted(wrong) => {
                client.note_wrong(wrong, &mut self.marks);
                let said = format!(
                    "client {at}: predicted slot {} wrong: {:?}",
                    wrong.slot, wrong.cause
                );
                self.checks
                    .mispredicted(at, &self.clients[at], self.server.core(), &self.network);
                self.tell(&said);
            }
            ClientEvent::Game(tick, data) => {
                let message = Message { tick, data: &data };
                if !self.checks.told(at, client, message, &mut self.marks) {
                    client.events.push((tick, data));
                }
            }
            ClientEvent::Latency(_) => {}
        }
    }

    pub(crate) fn schedule_client(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.is_up() {
            let shown = client.process.clock.at(self.now);
            let next = client.next_timeout(shown);
            client
                .process
                .wake(next, self.now, Event::ClientWakes(at), &mut self.events);
        }
    }
}
