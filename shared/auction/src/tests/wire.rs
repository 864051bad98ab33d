//! Pins the bytes of the wire format and the journal. A change requires a new [`WIRE`] and breaks
//! old journals.

use proptest::prelude::*;

use super::*;
use crate::event::{LotEvent, LotEventKind};
use crate::order::Receipt;
use crate::wire::{Reply, Request, WIRE};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_are_pinned() {
    assert_eq!(WIRE, u64::from_le_bytes(*b"auction1"));
    let command = bid(7, Action::UpTo(Amount(12_345)));
    let receipt = Receipt {
        number: 9,
        tick: 600,
        outcome: accepted(BidStanding::Leads, 3),
    };
    let happening = LotEventKind::Bid {
        bidder: 3,
        leader: 3,
        price: Amount(500),
        reserve_met: true,
        closes: 900,
    };
    let event = LotEvent {
        lot: LotId(7),
        sequence: 4,
        tick: 600,
        what: happening,
    };
    let order = Order {
        at_ms: 5,
        user: UserId(1),
        sequence: 2,
        id: CommandId(8),
        command: command.clone(),
    };
    let bytes = [
        bitcode::encode(&Request::Command {
            id: CommandId(8),
            command,
        }),
        bitcode::encode(&Request::Watch {
            lot: LotId(7),
            after: Some(3),
        }),
        bitcode::encode(&Reply::Answer {
            id: CommandId(8),
            answer: Answer::Receipt(receipt),
        }),
        bitcode::encode(&Reply::Events(vec![event])),
        bitcode::encode(&order),
    ];
    let pinned = [
        "00060800040700043930004555520600",
        "020407010603",
        "00060800060904580200000403",
        "040104070604045802010403040304f40101048403",
        "060506010602060800040700043930004555520600",
    ];
    assert_eq!(bytes.map(|bytes| hex(&bytes)), pinned);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = bitcode::decode::<Request>(&bytes);
        let _ = bitcode::decode::<Reply>(&bytes);
    }
}
