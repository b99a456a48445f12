//! Private keys behind a passphrase: those that OpenSSL makes today (PKCS #8 with PBES2, RFC 8018) and made before
//! (`DEK-Info`, RFC 1421), both with AES. They are opened, never made.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey,
        UnboundCipherKey,
    },
    iv::FixedLength,
    pbkdf2,
};
use md5::{Digest, Md5};
use prom_config::decode_base64;

/// More rounds would only waste time.
const ROUND_COUNT_MAX: u32 = 10_000_000;
const WRONG: &str = "invalid key: the passphrase is wrong";
const BROKEN: &str = "invalid key: it is damaged";
const UNKNOWN: &str = "invalid key: only AES in CBC mode is supported behind a passphrase";

const SEALED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// Object identifiers, encoded.
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// `hmacWithSHA1` and its successors end with their number.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// The modes of AES likewise.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;

/// One section of a PEM file.
struct Section {
    label: String,
    /// Lines before an empty one.
    headers: Vec<(String, String)>,
    bytes: Vec<u8>,
}

/// What is in a key, once it is open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Pkcs1(Vec<u8>),
    Pkcs8(Vec<u8>),
}

/// Opens a key in PEM; `None` if it needs no passphrase.
///
/// # Errors
/// The passphrase is wrong, or the key is sealed in another way. Neither is shown.
pub(crate) fn open(pem: &[u8], passphrase: &str) -> Result<Option<Opened>, String> {
    let section = std::str::from_utf8(pem).ok().and_then(Section::first);
    let Some(section) = section else { return Ok(None) };
    let header = |name: &str| section.headers.iter().find(|(it, _)| it == name).map(|it| &*it.1);
    let opened = if section.label == SEALED_LABEL {
        open_pbes2(&section.bytes, passphrase.as_bytes()).map(Opened::Pkcs8)
    } else if header("Proc-Type").is_some_and(|it| it.ends_with("ENCRYPTED")) {
        let sealed_by = header("DEK-Info").unwrap_or_default();
        open_traditional(&section.bytes, sealed_by, passphrase.as_bytes()).map(Opened::Pkcs1)
    } else {
        return Ok(None);
    };
    opened.map(Some).map_err(str::to_owned)
}

impl Section {
    fn first(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("-----BEGIN ")?;
        let (label, rest) = rest.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        let mut headers = Vec::new();
        let mut base64 = String::new();
        for line in body.lines().map(str::trim) {
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => base64.push_str(line),
            }
        }
        let bytes = decode_base64(&base64)?;
        Some(Self { label: label.to_owned(), headers, bytes })
    }
}

fn open_pbes2(der: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (mut all, _) = take(der, SEQUENCE)?;
    let mut scheme = next(&mut all, SEQUENCE)?;
    let sealed = next(&mut all, OCTETS)?;
    if next(&mut scheme, OBJECT)? != PBES2 {
        return Err(UNKNOWN);
    }
    let mut parameters = next(&mut scheme, SEQUENCE)?;
    let mut derivation = next(&mut parameters, SEQUENCE)?;
    let mut encryption = next(&mut parameters, SEQUENCE)?;
    if next(&mut derivation, OBJECT)? != PBKDF2 {
        return Err(UNKNOWN);
    }
    let mut derivation = next(&mut derivation, SEQUENCE)?;
    let salt = next(&mut derivation, OCTETS)?;
    let rounds = number(next(&mut derivation, INTEGER)?)?;
    // The length of the key may be told; the algorithm tells it anyway.
    if derivation.first() == Some(&INTEGER) {
        next(&mut derivation, INTEGER)?;
    }
    let digest = match derivation {
        [] => pbkdf2::PBKDF2_HMAC_SHA1,
        mut rest => match next(&mut next(&mut rest, SEQUENCE)?, OBJECT)?.strip_prefix(HMAC) {
            Some([7]) => pbkdf2::PBKDF2_HMAC_SHA1,
            Some([9]) => pbkdf2::PBKDF2_HMAC_SHA256,
            Some([10]) => pbkdf2::PBKDF2_HMAC_SHA384,
            Some([11]) => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return Err(UNKNOWN),
        },
    };
    let algorithm = match next(&mut encryption, OBJECT)?.strip_prefix(AES) {
        Some([2]) => &AES_128,
        Some([22]) => &AES_192,
        Some([42]) => &AES_256,
        _ => return Err(UNKNOWN),
    };
    let iv = next(&mut encryption, OCTETS)?;
    let rounds = NonZeroU32::new(rounds).filter(|it| it.get() <= ROUND_COUNT_MAX).ok_or(BROKEN)?;
    let mut key = vec![0; key_size_bytes(algorithm)];
    pbkdf2::derive(digest, rounds, salt, passphrase, &mut key);
    decrypt(algorithm, &key, iv, sealed)
}

fn open_traditional(
    sealed: &[u8],
    sealed_by: &str,
    passphrase: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let (name, iv) = sealed_by.split_once(',').ok_or(BROKEN)?;
    let algorithm = match name {
        "AES-128-CBC" => &AES_128,
        "AES-192-CBC" => &AES_192,
        "AES-256-CBC" => &AES_256,
        _ => return Err(UNKNOWN),
    };
    let iv = bytes_of_hex(iv.trim()).ok_or(BROKEN)?;
    let salt = iv.get(..8).ok_or(BROKEN)?;
    // Compat: OpenSSL's `EVP_BytesToKey` with one round of MD5.
    let mut key = Vec::new();
    let mut block = Vec::new();
    while key.len() < key_size_bytes(algorithm) {
        block = Md5::new()
            .chain_update(&block)
            .chain_update(passphrase)
            .chain_update(salt)
            .finalize()
            .to_vec();
        key.extend_from_slice(&block);
    }
    key.truncate(key_size_bytes(algorithm));
    decrypt(algorithm, &key, &iv, sealed)
}

fn decrypt(
    algorithm: &'static Algorithm,
    key: &[u8],
    iv: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let iv: [u8; 16] = iv.try_into().map_err(|_| BROKEN)?;
    let key = UnboundCipherKey::new(algorithm, key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
    let mut bytes = sealed.to_vec();
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let opened = key.map_err(|_| BROKEN)?.decrypt(&mut bytes, context).map_err(|_| WRONG)?;
    // One wrong passphrase in some hundred gives a proper padding.
    take(opened, SEQUENCE).map_err(|_| WRONG)?;
    Ok(opened.to_vec())
}

fn key_size_bytes(algorithm: &Algorithm) -> usize {
    match algorithm {
        it if it == &AES_128 => 16,
        it if it == &AES_192 => 24,
        _ => 32,
    }
}

/// The contents of the element at the front, which it removes.
fn next<'d>(der: &mut &'d [u8], tag: u8) -> Result<&'d [u8], &'static str> {
    let (contents, rest) = take(der, tag)?;
    *der = rest;
    Ok(contents)
}

/// The contents of the first element, and what comes behind it.
fn take(der: &[u8], tag: u8) -> Result<(&[u8], &[u8]), &'static str> {
    let (&first, rest) = der.split_first().ok_or(BROKEN)?;
    let (&length, rest) = rest.split_first().ok_or(BROKEN)?;
    let (size, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x83 => {
            let digits = usize::from(length & 0x7f);
            let (size, rest) = rest.split_at_checked(digits).ok_or(BROKEN)?;
            (size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)), rest)
        }
        _ => return Err(BROKEN),
    };
    if first != tag {
        return Err(BROKEN);
    }
    rest.split_at_checked(size).ok_or(BROKEN)
}

fn number(bytes: &[u8]) -> Result<u32, &'static str> {
    match bytes {
        [0, rest @ ..] | rest if rest.len() <= 4 => {
            Ok(rest.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        }
        _ => Err(BROKEN),
    }
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{RsaHash, RsaKey};

    macro_rules! key {
        ($name:literal) => {
            include_bytes!(concat!("../fixtures/", $name, ".pem"))
        };
    }

    #[test]
    fn keys_of_openssl_are_opened() {
        let plain = RsaKey::from_pem(key!("plain")).unwrap();
        let expected = plain.sign(RsaHash::Sha256, b"text").unwrap();
        for (pem, name) in [
            (&key!("plain")[..], "plain"),
            (key!("sealed-aes128-sha1"), "aes128"),
            (key!("sealed-aes192-sha512"), "aes192"),
            (key!("sealed-aes256-sha256"), "aes256"),
            (key!("sealed-traditional-aes256"), "traditional"),
        ] {
            let key = RsaKey::from_sealed_pem(pem, "hush").expect(name);
            assert_eq!(key.sign(RsaHash::Sha256, b"text").unwrap(), expected, "{name}");
            if name != "plain" {
                for wrong in ["", "hush ", "Hush"] {
                    let error = RsaKey::from_sealed_pem(pem, wrong).err();
                    assert_eq!(error.as_deref(), Some(WRONG), "{name} {wrong:?}");
                }
            }
        }
        let error = RsaKey::from_sealed_pem(key!("sealed-des3"), "hush").unwrap_err();
        assert_eq!(error, UNKNOWN);
        let error = RsaKey::from_sealed_pem(b"no key", "hush").unwrap_err();
        assert!(error.starts_with("invalid key: Key must be a PEM"), "{error}");
    }

    proptest! {
        #[test]
        fn damaged_keys_are_refused(at in 0_usize..1_300, byte in any::<u8>(), size in 0_usize..1_400) {
            let text = std::str::from_utf8(key!("sealed-aes128-sha1")).unwrap();
            let mut der = Section::first(text).unwrap().bytes;
            der[at] = byte;
            der.truncate(size);
            drop(open_pbes2(&der, b"hush"));
        }
    }
}
