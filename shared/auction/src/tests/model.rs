//! A slow model of the rules. It keeps only the offers and recomputes leaders, prices and holds.

mod bids;

use std::collections::BTreeMap;

use super::*;
use crate::terms::{Extend, Pricing, SoftClose};

#[derive(Clone, Debug)]
pub(crate) struct ModelLot {
    pub terms: Terms,
    opened: u64,
    pub closes: u64,
    scheduled: u64,
    /// User and amount, in the order of the offers; the last of each user counts.
    offers: Vec<(u64, u64)>,
    /// The price as last computed. A leader's raise changes it only if it reaches the reserve.
    shown: Option<u64>,
    /// Winner and price, or nobody.
    pub ended: Option<Option<(u64, u64)>>,
}

#[derive(Default)]
pub struct Model {
    pub money: BTreeMap<u64, u64>,
    pub denied: BTreeMap<u64, bool>,
    pub lots: BTreeMap<u32, ModelLot>,
    answers: BTreeMap<(u64, u64), (String, Outcome)>,
    tick: u64,
    stopped: u64,
    stops_at: Option<u64>,
}

impl ModelLot {
    /// The last offer of each user, best first, the earlier first among equals.
    fn ranked(&self) -> Vec<(u64, u64)> {
        let mut last: Vec<(u64, u64)> = Vec::new();
        for offer in &self.offers {
            last.retain(|(user, _)| user != &offer.0);
            last.push(*offer);
        }
        last.sort_by_key(|(_, amount)| std::cmp::Reverse(*amount));
        last
    }

    pub fn leader(&self) -> Option<(u64, u64)> {
        self.ranked()
            .first()
            .copied()
            .filter(|_| matches!(self.terms.sale, Sale::English { .. }))
    }

    pub fn price(&self) -> Option<u64> {
        self.shown
    }

    fn found_anew(&self) -> Option<u64> {
        let Sale::English {
            start,
            increments,
            reserve,
            ..
        } = &self.terms.sale
        else {
            return None;
        };
        let ranked = self.ranked();
        let best = ranked.first()?.1;
        let mut price = match ranked.get(1) {
            None => start.0,
            Some((_, second)) => best.min(second + increments.at(Amount(*second)).0),
        };
        if let Some(reserve) = reserve.filter(|reserve| best >= reserve.0) {
            price = price.max(reserve.0);
        }
        Some(price)
    }

    fn least(&self) -> u64 {
        match (&self.terms.sale, self.price()) {
            (Sale::English { increments, .. }, Some(price)) => {
                price + increments.at(Amount(price)).0
            }
            (Sale::English { start, .. }, None) => start.0,
            (Sale::Sealed { minimum, .. }, _) => minimum.0,
            _ => 0,
        }
    }

    /// The held amounts, by user.
    pub fn holds(&self) -> Vec<(u64, u64)> {
        match (&self.ended, &self.terms.sale) {
            (Some(_), _) => vec![],
            (None, Sale::English { .. }) => self.leader().into_iter().collect(),
            (None, _) => self.ranked(),
        }
    }

    fn extend(&mut self, now: u64) {
        let Some(SoftClose {
            window,
            extension,
            mode,
            most,
            hard_end,
        }) = self.terms.soft_close
        else {
            return;
        };
        if self.closes >= now + u64::from(window) {
            return;
        }
        let mut closes = match mode {
            Extend::Add => self.closes + u64::from(extension),
            Extend::Reset => now + u64::from(extension),
        };
        closes = closes.min(self.scheduled + u64::from(most));
        if let Some(end) = hard_end {
            closes = closes.min(self.opened + end);
        }
        self.closes = self.closes.max(closes);
    }
}

impl Model {
    fn now(&self) -> u64 {
        self.stops_at.unwrap_or(self.tick) - self.stopped
    }

    pub fn held(&self, user: u64) -> u64 {
        let holds = self.lots.values().flat_map(ModelLot::holds);
        holds
            .filter(|(whose, _)| *whose == user)
            .map(|(_, amount)| amount)
            .sum()
    }

    pub fn paid(&self, user: u64) -> u64 {
        let sold = self.lots.values().filter_map(|lot| lot.ended.flatten());
        sold.filter(|(winner, _)| *winner == user)
            .map(|(_, price)| price)
            .sum()
    }

    pub fn available(&self, user: u64) -> u64 {
        self.money.get(&user).copied().unwrap_or(0) - self.held(user) - self.paid(user)
    }

    /// Tick at which a lot closes, with the pauses.
    pub(crate) fn closes_at(&self, lot: u32) -> u64 {
        self.lots[&lot].closes + self.stopped
    }

    pub fn step(&mut self, tick: u64, clock: Option<ClockOrder>) {
        self.tick = tick;
        if clock == Some(ClockOrder::Resume) {
            self.stopped += self.stops_at.take().map_or(0, |since| tick - since);
        }
        let (now, running) = (self.now(), self.stops_at.is_none());
        for lot in self
            .lots
            .values_mut()
            .filter(|lot| running && lot.ended.is_none() && lot.closes <= now)
        {
            lot.ended = Some(winner(lot));
        }
        if clock == Some(ClockOrder::Pause) {
            self.stops_at = self.stops_at.or(Some(tick));
        }
    }

    pub fn take(&mut self, order: &Order) -> Answer {
        let (key, body) = ((order.user.0, order.id.0), format!("{:?}", order.command));
        if let Some((before, outcome)) = self.answers.get(&key) {
            let receipt = crate::order::Receipt {
                number: 0,
                tick: 0,
                outcome: *outcome,
            };
            return if *before == body {
                Answer::Receipt(receipt)
            } else {
                Answer::Conflict
            };
        }
        let outcome = match &order.command {
            Command::Bid(bid) => self.bid(order.user.0, bid),
            Command::Admin(admin) => self.administer(admin),
        };
        let outcome = match outcome {
            Ok(stands) => Outcome::Accepted { stands, alias: 0 },
            Err(reject) => Outcome::Rejected(reject),
        };
        self.answers.insert(key, (body, outcome));
        Answer::Receipt(crate::order::Receipt {
            number: 0,
            tick: 0,
            outcome,
        })
    }

    fn administer(&mut self, admin: &Admin) -> Result<BidStanding, Reject> {
        match admin {
            Admin::Deposit { user, amount } => *self.money.entry(user.0).or_default() += amount.0,
            Admin::Withdraw { user, amount } => {
                if !self.money.contains_key(&user.0) {
                    return Err(Reject::NotRegistered);
                }
                if self.available(user.0) < amount.0 {
                    return Err(Reject::Funds);
                }
                *self.money.entry(user.0).or_default() -= amount.0;
            }
            Admin::Deny { user, denied } => {
                self.denied.insert(user.0, *denied);
                let open = |(id, lot): (&u32, &ModelLot)| lot.ended.is_none().then_some(*id);
                let lots: Vec<u32> = self.lots.iter().filter_map(open).collect();
                for lot in lots.into_iter().filter(|_| *denied) {
                    self.take_back(lot, user.0);
                }
            }
            Admin::Open { lot, terms } => {
                if self.lots.contains_key(&lot.0) {
                    return Err(Reject::LotExists);
                }
                if !terms.are_valid() {
                    return Err(Reject::BadTerms);
                }
                let (now, closes) = (self.now(), self.now() + terms.duration);
                let (terms, offers) = (terms.clone(), vec![]);
                let lot_now = ModelLot {
                    terms,
                    opened: now,
                    closes,
                    scheduled: closes,
                    offers,
                    shown: None,
                    ended: None,
                };
                self.lots.insert(lot.0, lot_now);
            }
            Admin::Cancel { lot } => {
                let lot = self.lots.get_mut(&lot.0).ok_or(Reject::UnknownLot)?;
                if lot.ended.is_some() {
                    return Err(Reject::Closed);
                }
                lot.ended = Some(None);
            }
            Admin::Retract { lot: id, user } => {
                let lot = self.lots.get_mut(&id.0).ok_or(Reject::UnknownLot)?;
                if lot.ended.is_some() {
                    return Err(Reject::Closed);
                }
                if !lot.offers.iter().any(|(whose, _)| *whose == user.0) {
                    return Err(Reject::NoBid);
                }
                self.take_back(id.0, user.0);
            }
        }
        Ok(BidStanding::Done)
    }

    /// Removes a user's offers from a lot. Users who would lead without the available amount are
    /// removed as well.
    fn take_back(&mut self, id: u32, user: u64) {
        let lot = self.lots.get_mut(&id).unwrap();
        if !lot.offers.iter().any(|(whose, _)| *whose == user) {
            return;
        }
        lot.offers.retain(|(whose, _)| *whose != user);
        while let Some((leader, maximum)) = self.lots[&id].leader() {
            let spendable = self.money[&leader] - self.paid(leader);
            if spendable + maximum >= self.held(leader) + maximum {
                break;
            }
            let lot = self.lots.get_mut(&id).unwrap();
            lot.offers.retain(|(whose, _)| *whose != leader);
        }
        let lot = self.lots.get_mut(&id).unwrap();
        lot.shown = lot.found_anew();
    }
}

fn winner(lot: &ModelLot) -> Option<(u64, u64)> {
    let ranked = lot.ranked();
    match &lot.terms.sale {
        Sale::English { reserve, .. } => {
            let price = lot.price()?;
            reserve
                .is_none_or(|reserve| price >= reserve.0)
                .then_some((lot.leader()?.0, price))
        }
        Sale::Sealed {
            minimum,
            reserve,
            pricing,
        } => {
            let (user, best) = *ranked.first()?;
            let least = reserve.map_or(0, |reserve| reserve.0).max(minimum.0);
            let second = ranked.get(1).map_or(0, |(_, amount)| *amount);
            let price = if *pricing == Pricing::First {
                best
            } else {
                second.max(least)
            };
            (best >= reserve.map_or(0, |reserve| reserve.0)).then_some((user, price))
        }
        Sale::Dutch(_) => None,
    }
}
