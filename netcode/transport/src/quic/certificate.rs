//! A QUIC server's certificate, and the fingerprint by which clients pin it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use time::OffsetDateTime;

use truetick_netcode::time::UnixTime;

/// Validity of a self-signed certificate, in days. Browsers accept certificates by hash for 14 days
/// at most (`serverCertificateHashes` of WebTransport).
pub const SELF_SIGNED_DAYS: i64 = 13;

/// How long before its creation a certificate becomes valid, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// Why a certificate could not be read or made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The text contains an unreadable certificate.
    #[error("no certificate can be read: {0}")]
    NoCertificate(rustls::pki_types::pem::Error),
    /// The text contains no readable private key.
    #[error("no private key can be read: {0}")]
    NoKey(rustls::pki_types::pem::Error),
    /// The text contains no certificate.
    #[error("the file with the certificate is empty of certificates")]
    Empty,
    /// The self-signed certificate could not be made.
    #[error("no certificate could be made: {0}")]
    Making(rcgen::Error),
}

/// A certificate chain with its private key.
#[derive(Debug)]
pub struct Certificate {
    /// The chain, with the server's own certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Clone for Certificate {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Certificate {
    /// Makes a self-signed certificate (ECDSA P-256) for these names, valid for
    /// [`SELF_SIGNED_DAYS`] from `wall`. Clients trust it by its fingerprint only.
    ///
    /// # Errors
    /// If a name is invalid or the certificate cannot be made.
    pub fn self_signed(names: &[String], wall: UnixTime) -> Result<Self, CertificateError> {
        let key =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Making)?;
        let mut params = CertificateParams::new(names).map_err(CertificateError::Making)?;
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "truetick");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = OffsetDateTime::from_unix_timestamp(wall.as_secs() as i64)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (params.not_before, params.not_after) = (
            made - BACKDATED,
            made + time::Duration::days(SELF_SIGNED_DAYS),
        );
        let certificate = params.self_signed(&key).map_err(CertificateError::Making)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Self {
            chain: vec![certificate.der().clone()],
            key,
        })
    }

    /// Reads a chain and its key from PEM texts, with the server's own certificate first.
    ///
    /// # Errors
    /// If either cannot be read or the chain is empty.
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

    /// Returns the fingerprint of the server's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.chain[0])
    }
}

/// SHA-256 of a certificate in DER format.
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

/// The text is not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fingerprint is 64 hexadecimal digits, as the server prints it when it starts")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads 64 hexadecimal digits; colons between them and surrounding white space are ignored.
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
        assert!(matches!(
            Certificate::from_pem("", ""),
            Err(CertificateError::Empty)
        ));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(
            Certificate::from_pem(key, key),
            Err(CertificateError::Empty)
        ));
        let chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            Certificate::from_pem(chain, ""),
            Err(CertificateError::NoKey(_))
        ));
    }
}
