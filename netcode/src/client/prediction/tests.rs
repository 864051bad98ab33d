use super::*;
use crate::bits::{BitReader, BitWriter};
use crate::error::WireError;
use crate::schema::{ComponentInfo, Field, Schema};

#[derive(Clone, Debug, Default, PartialEq)]
struct Step(u32);

impl Command for Step {
    fn write(&self, _: &mut BitWriter) {}

    fn read(_: &mut BitReader<'_>) -> Result<Self, WireError> {
        Ok(Self(0))
    }
}

/// A game in which each command adds to the last field. A vehicle has more fields than a walker.
struct Walk;

impl Predict for Walk {
    type Command = Step;

    fn welcomed(&mut self, _: u32) {}

    fn predict(&self, kind: KindId, fields: &mut [u32], command: &Step) {
        assert_eq!(
            fields.len(),
            if kind == KindId(0) { 1 } else { 3 },
            "a state of another kind"
        );
        *fields.last_mut().unwrap() += command.0;
    }

    fn interactions(&self, _: &[u32]) -> u32 {
        0
    }

    fn distance_m(&self, a: &[u32], b: &[u32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).sum::<u32>() as f32
    }
}

/// Kind 0 is a walker with one predicted field, kind 1 a vehicle with three.
fn schema() -> Schema {
    let predicted = |name| Field {
        predicted: true,
        ..Field::count(name, 16)
    };
    let fields = Vec::leak(["a", "b", "c"].map(predicted).to_vec());
    let mut schema = Schema::new();
    let walker = schema
        .add_info(ComponentInfo {
            name: "walker",
            fields: &fields[..1],
        })
        .unwrap();
    let vehicle = schema
        .add_info(ComponentInfo {
            name: "vehicle",
            fields,
        })
        .unwrap();
    schema.add_kind("walker", &[walker]).unwrap();
    schema.add_kind("vehicle", &[vehicle]).unwrap();
    schema
}

#[test]
fn an_own_entity_that_is_replaced_by_one_of_another_kind_is_predicted_from_its_first_state() {
    let schema = schema();
    let own = [KindId(0), KindId(1)].map(|kind| Own {
        id: NetId {
            slot: 3,
            generation: kind.0.into(),
        },
        kind,
    });
    let mut prediction = Prediction::default();
    let heard = Feedback {
        margin: Some(10),
        ..Feedback::default()
    };
    for slot in 1..40u32 {
        let (at, server) = if slot < 20 {
            (0, vec![slot - 1])
        } else {
            (1, vec![7, 8, slot - 20])
        };
        // The client learns of the vehicle two slots later: until then it predicts the walker.
        let known = Some(own[usize::from(slot > 22)]).filter(|_| slot > 2);
        prediction.advance(&Walk, known, Tick(slot), Step(1));
        let confirmed = Confirmed {
            slot: Tick(slot - 1),
            fields: &server,
            feedback: &heard,
        };
        let result = prediction.reconcile(&Walk, own[at], schema.kind(own[at].kind), &confirmed);
        assert!(
            !matches!(result, Reconciled::Wrong(_)),
            "slot {slot}: {result:?}"
        );
        if slot == 20 {
            assert_eq!(result, Reconciled::Started);
        }
    }
    assert_eq!(prediction.own(), Some(own[1]));
    assert_eq!(prediction.state(), Some((Tick(39), &[7, 8, 20][..])));
}
