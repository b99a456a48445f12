//! From when to when a certificate (X.509, DER) is valid. Nothing else of it is read.

use jiff::{civil::DateTime, tz::TimeZone};

use crate::der::{SEQUENCE, element, expect};

const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// In seconds since the epoch, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// `None` if the bytes are no certificate.
pub(super) fn validity(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    if let Some((_, after)) = expect(rest, EXPLICIT_VERSION) {
        rest = after;
    }
    // The serial number, the algorithm, the issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some(Validity { not_before, not_after })
}

fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (year, text) = match tag {
        UTC_TIME => {
            let (year, text) = text.split_at_checked(2)?;
            let year: i16 = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        GENERALIZED_TIME => {
            let (year, text) = text.split_at_checked(4)?;
            (number(year)?, text)
        }
        _ => return None,
    };
    let part = |index: usize| number(text.get(2 * index..2 * index + 2)?);
    let [month, day, hour, minute, second] =
        [part(0)?, part(1)?, part(2)?, part(3)?, part(4)?].map(|part| part as i8);
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some((time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second(), rest))
}

fn number(digits: &str) -> Option<i16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn times_of_both_kinds_are_read() {
        for (from, to, expected) in [
            ((2020, 1, 2), (2021, 3, 4), (1_577_923_200, 1_614_816_000)),
            ((1999, 12, 31), (2060, 1, 1), (946_598_400, 2_840_140_800)),
        ] {
            let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
            params.not_before = date_time_ymd(from.0, from.1, from.2);
            params.not_after = date_time_ymd(to.0, to.1, to.2);
            let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let (not_before, not_after) = expected;
            assert_eq!(validity(cert.der()), Some(Validity { not_before, not_after }));
            // Cut off anywhere it is no certificate.
            for size in 0..cert.der().len() {
                assert_eq!(validity(&cert.der()[..size]), None, "{size}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            validity(&bytes);
        }
    }
}
