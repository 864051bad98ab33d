//! Replaces QUIC's random numbers by those of a seed. TLS still draws its own key shares: packet
//! lengths and behaviour follow from the seed, the ciphertext does not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use quinn_proto::crypto::HmacKey;
use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, ServerConfig, TimeSource,
};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use truetick_netcode::time::Timestamp;
use truetick_transport::quic::certificate::Certificate;
use truetick_transport::quic::config::{self, ALPN, Trust};

use crate::tokens::wall;

/// An Ed25519 key (RFC 8410): its signatures are deterministic and of constant length.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
    -----END PRIVATE KEY-----\n";

/// The server's certificate.
fn certificate() -> Certificate {
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(KEY, &PKCS_ED25519).expect("the key is good");
    let params = CertificateParams::new(["localhost".into()]).expect("the name is good");
    let chain = params.self_signed(&key).expect("it can be signed").pem();
    Certificate::from_pem(&chain, KEY).expect("it is one")
}

/// Connection ids of 8 bytes from a generator of their own.
struct Ids(Xoshiro256PlusPlus);

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.next_u64().to_be_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

struct ResetKey(ring::hmac::Key);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        self.0.sign(data, signature_out);
    }

    fn signature_len(&self) -> usize {
        self.0.signature_len()
    }

    fn verify(
        &self,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), quinn_proto::crypto::CryptoError> {
        HmacKey::verify(&self.0, data, signature)
    }
}

/// Returns an end's configuration. A server uses the same reset key in each of its lives.
pub fn endpoint(seed: u64, rng: &mut Xoshiro256PlusPlus) -> EndpointConfig {
    let reset = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &seed.to_le_bytes());
    let mut config = EndpointConfig::new(Arc::new(ResetKey(reset)));
    let (ids, mut bytes) = (rng.next_u64(), [0; 32]);
    rng.fill_bytes(&mut bytes);
    config
        .cid_generator(move || Box::new(Ids(Xoshiro256PlusPlus::seed_from_u64(ids))))
        .rng_seed(Some(bytes));
    config
}

/// The virtual time of a run as a time source.
#[derive(Clone, Debug)]
pub struct SimTime(pub Arc<Mutex<Timestamp>>);

impl TimeSource for SimTime {
    fn now(&self) -> SystemTime {
        let now = *self.0.lock().expect("nobody panics with it");
        SystemTime::UNIX_EPOCH + Duration::from_millis(wall(now).as_millis())
    }
}

/// Returns a server's configuration.
pub fn server(seed: u64, time: SimTime) -> ServerConfig {
    let mut config = config::server(certificate(), &[ALPN]).expect("the certificate serves");
    let tokens =
        ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"simulator").extract(&seed.to_le_bytes());
    config
        .token_key(Arc::new(tokens))
        .time_source(Arc::new(time));
    config
}

/// Returns a client's configuration, which trusts the server by its fingerprint.
pub fn client(seed: u64) -> ClientConfig {
    let trust = Trust::Pinned(vec![certificate().fingerprint()]);
    let mut config = config::client(&trust, ALPN).expect("the parameters serve");
    let rng = Mutex::new(Xoshiro256PlusPlus::seed_from_u64(!seed));
    config.initial_dst_cid_provider(Arc::new(move || {
        let mut bytes = [0; 20];
        rng.lock()
            .expect("nobody panics with it")
            .fill_bytes(&mut bytes);
        ConnectionId::new(&bytes)
    }));
    config
}
