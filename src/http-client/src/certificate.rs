//! What a certificate (X.509) says about whom it was given to. Whether it is to be trusted is not asked here.

use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::der::{SEQUENCE, SET, element, expect};

const EXPLICIT_VERSION: u8 = 0xa0;

/// A certificate, as somebody gave it.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
}

impl Certificate {
    /// All certificates of a PEM text.
    ///
    /// # Errors
    /// It is none, or holds no certificate.
    pub fn all_of_pem(pem: &[u8]) -> Result<Vec<Self>, String> {
        let all = CertificateDer::pem_slice_iter(pem).map(|der| der.map(|der| Self { der }));
        match all.collect::<Result<Vec<_>, _>>() {
            Ok(all) if !all.is_empty() => Ok(all),
            _ => Err("failed to find any PEM data in certificate input".to_owned()),
        }
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The parts of the subject's name that are text, in their order.
    pub fn subject(&self) -> Vec<&str> {
        subject(&self.der).unwrap_or_default()
    }
}

fn subject(der: &[u8]) -> Option<Vec<&str>> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    if let Some((_, after)) = expect(rest, EXPLICIT_VERSION) {
        rest = after;
    }
    // The serial number, the algorithm, the issuer, the time.
    for _ in 0..4 {
        (_, _, rest) = element(rest)?;
    }
    let (mut name, _) = expect(rest, SEQUENCE)?;
    let mut texts = Vec::new();
    while let Some((mut set, after)) = expect(name, SET) {
        while let Some((part, next)) = expect(set, SEQUENCE) {
            let (_, _, value) = element(part)?;
            let (_, value, _) = element(value)?;
            texts.extend(std::str::from_utf8(value));
            set = next;
        }
        name = after;
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_subject_is_read_part_by_part() {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "ocid1.instance.x");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "opc-tenant:ten");
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let all = Certificate::all_of_pem(format!("{pem}\n{pem}").as_bytes()).unwrap();
        assert_eq!(all.len(), 2);
        assert!(all[1].subject().contains(&"opc-tenant:ten"), "{:?}", all[1].subject());
        for size in 0..all[0].der.len() {
            drop(subject(&all[0].der[..size]));
        }
        assert!(Certificate::all_of_pem(b"no certificate").is_err());
    }

    proptest! {
        #[test]
        fn foreign_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(subject(&bytes));
        }
    }
}
