//! Tests of connect tokens: they return from their bytes, and invalid ones are refused.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::crypto::{Key, TOKEN_NONCE_BYTES};
use super::super::{Role, UserId};
use super::*;
use crate::time::UnixTime;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn issuer(servers: Vec<SocketAddr>) -> Issuer {
    Issuer {
        key: Key::new([9; 32]),
        protocol: 77,
        servers,
        lifetime: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
    }
}

fn addresses() -> impl Strategy<Value = Vec<SocketAddr>> {
    let v4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from);
    let v6 = (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from);
    proptest::collection::vec(prop_oneof![v4, v6], 1..=TOKEN_SERVERS)
}

proptest! {
    #[test]
    fn a_token_returns(servers in addresses(), user in any::<u64>(), (room, watches) in any::<(u16, bool)>(), seed in any::<u64>()) {
        let (issuer, mut rng) = (issuer(servers), StdRng::seed_from_u64(seed));
        let now = UnixTime::from_millis(1_700_000_000_123);
        let role = if watches { Role::Spectator } else { Role::Player };
        let purpose = Purpose { room, role, ..Purpose::default() };
        let token = issuer.issue(UserId(user), purpose, now, &mut rng);
        prop_assert_eq!(&ConnectToken::from_bytes(&*token.to_bytes()).unwrap(), &token);
        prop_assert_eq!(&ConnectToken::from_bytes(&token.to_short_bytes()).unwrap(), &token);
        let open = |key| PrivateToken::open(&token.sealed, key, 77, token.expires, &token.nonce);
        let private = open(&issuer.key).unwrap();
        prop_assert_eq!((private.user.0, &private.servers), (user, &token.servers));
        prop_assert_eq!((&private.client_key, &private.server_key), (&token.client_key, &token.server_key));
        prop_assert_eq!(Purpose::read(&private.user_data), Some(Purpose { issued: Some(now), ..purpose }));
        prop_assert_eq!(open(&Key::new([8; 32])), Err(OpenError::Forged));
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..=TOKEN_BYTES + 1), begin in any::<bool>()) {
        if begin && bytes.len() > 13 {
            bytes[..13].copy_from_slice(&VERSION_INFO);
        }
        if let Ok(token) = ConnectToken::from_bytes(&bytes) {
            prop_assert_eq!(ConnectToken::from_bytes(&*token.to_bytes()).unwrap(), token);
        }
    }
}

#[test]
fn what_the_standard_forbids_is_refused() {
    let token = issuer(vec![([127, 0, 0, 1], 9).into()]);
    let token = token.issue(
        UserId(1),
        Purpose::default(),
        UnixTime::default(),
        &mut StdRng::seed_from_u64(1),
    );
    let broken = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = token.to_bytes();
        change(&mut *bytes);
        ConnectToken::from_bytes(&*bytes).is_err()
    };
    let servers = 13 + 8 * 3 + TOKEN_NONCE_BYTES + PRIVATE_BYTES + 4;
    assert!(!broken(&|_| {}));
    assert!(broken(&|bytes| bytes[0] = b'M'));
    assert!(broken(&|bytes| bytes[servers] = 0));
    assert!(broken(&|bytes| bytes[servers] = 33));
    assert!(broken(&|bytes| bytes[servers + 4] = 3));
    assert!(broken(&|bytes| bytes[21] = 0xff));
    assert!(broken(&|bytes| bytes[TOKEN_BYTES - 1] = 1));
    assert!(ConnectToken::from_bytes(&[0; TOKEN_BYTES + 1]).is_err());
}
