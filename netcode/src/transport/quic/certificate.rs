//! By what a QUIC server is known: its certificate, and the fingerprint by which clients pin it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use time::OffsetDateTime;

use crate::time::UnixTime;

/// For so long a self-signed certificate holds: browsers take no longer one by its hash
/// (`serverCertificateHashes` of WebTransport: 14 days at the most).
pub const SELF_SIGNED_DAYS: i64 = 13;

/// A certificate is valid from this long before it was made, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The text holds none.
    #[error("no certificate can be read: {0}")]
    NoCertificate(rustls::pki_types::pem::Error),
    /// The text holds no key.
    #[error("no private key can be read: {0}")]
    NoKey(rustls::pki_types::pem::Error),
    /// There is none in it.
    #[error("the file with the certificate is empty of certificates")]
    Empty,
    /// It could not be made.
    #[error("no certificate could be made: {0}")]
    Making(rcgen::Error),
}

/// A certificate chain and its key.
#[derive(Debug)]
pub struct Certificate {
    /// The server's own certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Clone for Certificate {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Certificate {
    /// A certificate (ECDSA P-256) that only its fingerprint vouches for, good for
    /// [`SELF_SIGNED_DAYS`] from now.
    pub fn self_signed(names: &[String], wall: UnixTime) -> Result<Self, CertificateError> {
        let key =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Making)?;
        let mut params = CertificateParams::new(names).map_err(CertificateError::Making)?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "truetick");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = OffsetDateTime::from_unix_timestamp(wall.as_secs() as i64)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (params.not_before, params.not_after) =
            (made - BACKDATED, made + time::Duration::days(SELF_SIGNED_DAYS));
        let certificate = params.self_signed(&key).map_err(CertificateError::Making)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Self { chain: vec![certificate.der().clone()], key })
    }

    /// Those in the text of PEM files, the server's own certificate first.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(CertificateError::NoCertificate)?;
        if chain.is_empty() {
            return Err(CertificateError::Empty);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(CertificateError::NoKey)?;
        Ok(Self { chain, key })
    }

    /// By what clients know the server's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.chain[0])
    }
}

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Fingerprint({self})")
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fingerprint is 64 hexadecimal digits, as the server prints it when it starts")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads hexadecimal digits; colons between them do not matter.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b':').collect();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(FingerprintError);
        }
        let mut bytes = [0; 32];
        for (to, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| FingerprintError)?;
            *to = u8::from_str_radix(pair, 16).map_err(|_| FingerprintError)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_has_a_fingerprint_that_reads_back() {
        let wall = UnixTime::from_millis(1_790_000_000_000);
        let one = Certificate::self_signed(&["localhost".into()], wall).unwrap();
        let other = Certificate::self_signed(&["localhost".into()], wall).unwrap();
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.fingerprint().to_string().parse(), Ok(one.fingerprint()));
        assert_eq!("12:34".parse::<Fingerprint>(), Err(FingerprintError));
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_a_reason() {
        assert!(matches!(Certificate::from_pem("", ""), Err(CertificateError::Empty)));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(Certificate::from_pem(key, key), Err(CertificateError::Empty)));
        let chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Certificate::from_pem(chain, ""), Err(CertificateError::NoKey(_))));
    }
}
