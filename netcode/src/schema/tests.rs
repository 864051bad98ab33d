//! Tests of how components of a schema quantise their fields.

use super::*;
use proptest::prelude::*;

const POSITION: Field = Field::linear("x", -64.0, 64.0, 1.0 / 2048.0);
const HEADING: Field = Field::turn("heading", 12);

proptest! {
    #[test]
    fn the_grid_is_exact(n in 0..=POSITION.max(), turn in 0..=HEADING.max()) {
        prop_assert_eq!(POSITION.quantise(POSITION.value(n)), n);
        prop_assert_eq!(HEADING.quantise(HEADING.value(turn)), turn);
    }

    #[test]
    fn values_snap_to_the_nearest(value in -63.9f32..63.9) {
        let snapped = POSITION.value(POSITION.quantise(value));
        prop_assert!((snapped - value).abs() <= 0.5 / 2048.0 + 1e-5);
    }

    #[test]
    fn changes_return(from in 0..=HEADING.max(), to in 0..=HEADING.max(), wide in any::<(u32, u32)>()) {
        let change = HEADING.difference(from, to);
        prop_assert!(change.abs() <= 2048);
        prop_assert_eq!(HEADING.apply(from, change), Some(to));
        let count = Field::count("score", 32);
        prop_assert_eq!(count.apply(wide.0, count.difference(wide.0, wide.1)), Some(wide.1));
    }
}

#[test]
fn out_of_range_goes_to_the_ends() {
    assert_eq!(POSITION.bits, 18);
    assert_eq!(POSITION.quantise(-1e9), 0);
    assert_eq!(POSITION.quantise(1e9), POSITION.max());
    assert_eq!(POSITION.quantise(f32::NAN), 0);
    assert_eq!(POSITION.apply(0, -1), None);
}

#[test]
fn clones_share_the_tables_that_priors_make() {
    let schema = Schema::new().with_priors(&[]);
    let clone = schema.clone();
    assert!(std::ptr::eq(schema.tables(3), clone.tables(3)));
}

#[test]
fn a_kind_that_fits_no_packet_is_refused() {
    struct Wide;
    impl Replicate for Wide {
        const NAME: &'static str = "wide";
        const FIELDS: &'static [Field] = &[Field::count("n", 32); 41];
        fn quantise(&self, _: &mut [u32]) {}
        fn restore(_: &[u32]) -> Self {
            Self
        }
    }
    let mut schema = Schema::new();
    let wide = schema.add_component::<Wide>().unwrap();
    assert_eq!(
        schema.add_component::<Wide>(),
        Err(SchemaError::Twice("wide"))
    );
    assert!(matches!(
        schema.add_kind("w", &[wide]),
        Err(SchemaError::TooMany(..))
    ));
}
