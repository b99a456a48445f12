//! Digests and signatures that services want on requests. What is signed is decided elsewhere.

use std::fmt;

use aws_lc_rs::{
    digest,
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::{SecureRandom, SystemRandom},
    rsa,
    signature::{KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};

use crate::{
    base64,
    sealed_key::{self, Opened},
};

const NO_KEY: &str = "key is not a valid RSA private key";

/// A private RSA key.
pub struct RsaKey(rsa::KeyPair);

/// The digest that a signature is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaHash {
    Sha256,
    Sha384,
    Sha512,
}

impl RsaKey {
    /// A new key of 2048 bits, which takes a while, and its public half (`SubjectPublicKeyInfo`, DER).
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn generate() -> Result<(Self, Vec<u8>), String> {
        let made = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).and_then(|key| {
            let public: PublicKeyX509Der<'_> = key.public_key().as_der()?;
            let public = public.as_ref().to_vec();
            Ok((Self(key), public))
        });
        made.map_err(|_| "no RSA key can be generated".to_owned())
    }

    /// A key as PKCS #1 or PKCS #8 in PEM.
    ///
    /// # Errors
    /// The text holds no such key. It is not told, since it may be a secret.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        const NO_PEM: &str = "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key";
        let key = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| NO_PEM.to_owned())? {
            PrivateKeyDer::Pkcs1(der) => rsa::KeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(NO_PEM.to_owned()),
        };
        key.map(Self).map_err(|_| NO_KEY.to_owned())
    }

    /// The same of a key that may be behind a passphrase.
    ///
    /// # Errors
    /// See [`RsaKey::from_pem`]; or the passphrase is wrong.
    pub fn from_sealed_pem(pem: &[u8], passphrase: &str) -> Result<Self, String> {
        let key = match sealed_key::open(pem, passphrase)? {
            None => return Self::from_pem(pem),
            Some(Opened::Pkcs1(der)) => rsa::KeyPair::from_der(&der),
            Some(Opened::Pkcs8(der)) => rsa::KeyPair::from_pkcs8(&der),
        };
        key.map(Self).map_err(|_| NO_KEY.to_owned())
    }

    /// The signature of `text` by PKCS #1 v1.5.
    ///
    /// # Errors
    /// The key is too short for the digest.
    pub fn sign(&self, hash: RsaHash, text: &[u8]) -> Result<Vec<u8>, String> {
        let encoding: &'static dyn RsaEncoding = match hash {
            RsaHash::Sha256 => &RSA_PKCS1_SHA256,
            RsaHash::Sha384 => &RSA_PKCS1_SHA384,
            RsaHash::Sha512 => &RSA_PKCS1_SHA512,
        };
        let mut signature = vec![0; self.0.public_modulus_len()];
        match self.0.sign(encoding, &SystemRandom::new(), text, &mut signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err("the RSA key cannot sign".to_owned()),
        }
    }

    /// A JSON Web Token (RFC 7519) with these claims; `key_id` may be empty.
    ///
    /// # Errors
    /// See [`RsaKey::sign`].
    pub fn web_token(
        &self,
        hash: RsaHash,
        key_id: &str,
        claims: &serde_json::Value,
    ) -> Result<String, String> {
        let mut header = serde_json::json!({"alg": hash.web_name(), "typ": "JWT"});
        if !key_id.is_empty() {
            header["kid"] = key_id.into();
        }
        let part = |value: &serde_json::Value| base64::encode_url(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&header), part(claims));
        let signature = self.sign(hash, text.as_bytes())?;
        Ok(format!("{text}.{}", base64::encode_url(&signature)))
    }
}

impl RsaHash {
    /// The name of RFC 7518.
    fn web_name(self) -> &'static str {
        match self {
            Self::Sha256 => "RS256",
            Self::Sha384 => "RS384",
            Self::Sha512 => "RS512",
        }
    }

    /// `RS256` to `RS512`; the first one for the empty name.
    pub fn of_web_name(name: &str) -> Option<Self> {
        match name {
            "" | "RS256" => Some(Self::Sha256),
            "RS384" => Some(Self::Sha384),
            "RS512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaKey")
    }
}

/// A random identifier of version 4 (RFC 9562).
///
/// # Errors
/// The system gives no random bytes.
pub fn random_uuid() -> Result<String, String> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| "no random bytes from the system".to_owned())?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    let parts = [hex.get(..8), hex.get(8..12), hex.get(12..16), hex.get(16..20), hex.get(20..)];
    Ok(parts.map(Option::unwrap_or_default).join("-"))
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// The SHA-1 of some bytes, where a name is made of it.
pub(crate) fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(digits).collect()
}

pub(crate) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}
