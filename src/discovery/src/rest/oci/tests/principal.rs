//! Machines that ask in their own name.

use std::time::Duration;

use prom_http_client::base64;
use prom_testkit::Answer;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256};
use serde_json::Value;

use super::*;
use crate::rest::tests::{TestAsker, asker_in};

const SD: &str =
    "oci_sd_configs: [{auth: instance_principal, region: eu-frankfurt-1, refresh_interval: 50ms}]";
const FOREVER_S: i64 = 4_102_444_800;

/// The service of the machine and all others.
fn fill(service: &FakeTarget, organization: &str) {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "ocid1.instance.i");
    params.distinguished_name.push(DnType::OrganizationalUnitName, organization);
    let pem = params.self_signed(&key).unwrap().pem();
    service.answer("/opc/v2/instance/region", Answer::text("fra"));
    service.answer("/opc/v2/identity/cert.pem", Answer::text(&pem));
    service.answer("/opc/v2/identity/key.pem", Answer::text(&key.serialize_pem()));
    let both = format!("{pem}{pem}");
    service.answer("/opc/v2/identity/intermediate.pem", Answer::text(&both));
    service.answer("/v1/x509", token("first", FOREVER_S));
    service.answer(&format!("{CHILDREN}ten"), json("[]"));
    service.answer(&format!("{INSTANCES}ten"), json("[]"));
}

fn token(name: &str, until_s: i64) -> Answer {
    let claims = format!("{{\"name\": \"{name}\", \"exp\": {until_s}}}");
    let claims = base64(claims.as_bytes()).replace('+', "-").replace('/', "_");
    json(&format!("{{\"token\": \"{name}.{}.s\"}}", claims.trim_end_matches('=')))
}

fn asker(service: &FakeTarget) -> TestAsker {
    asker_in(service, SD, &[("OCI_METADATA_BASE_URL", &service.url("/opc/v2"))])
}

fn of_path(service: &FakeTarget, start: &str) -> Vec<String> {
    service.requests().into_iter().filter(|it| it.starts_with(start)).collect()
}

#[tokio::test]
async fn a_machine_shows_its_certificate_and_signs_with_a_key_of_the_moment() {
    let service = FakeTarget::start().await;
    fill(&service, "opc-tenant:ten");
    let mut asker = asker(&service);
    asker.ask().await.unwrap();
    asker.ask().await.unwrap();
    let metadata = of_path(&service, "GET /opc/v2/");
    assert_eq!(metadata.len(), 4, "the token is kept");
    assert!(metadata.iter().all(|it| it.contains("authorization: Bearer Oracle\r\n")));
    let shown = of_path(&service, "POST /v1/x509 ");
    assert_eq!(shown.len(), 1);
    let authorization = "authorization: Signature version=\"1\",keyId=\"ten/fed-x509-sha256/";
    assert!(shown[0].contains(authorization), "{}", shown[0]);
    let names = "headers=\"date (request-target) content-length content-type x-content-sha256\",signature=\"";
    assert!(shown[0].contains(names), "{}", shown[0]);
    let body: Value = serde_json::from_str(shown[0].split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["fingerprintAlgorithm"], "SHA256");
    let certificate = body["certificate"].as_str().unwrap();
    assert_eq!(body["intermediateCertificates"], serde_json::json!([certificate, certificate]));
    // `SubjectPublicKeyInfo` of an RSA key with 2048 bits.
    let public_key = body["publicKey"].as_str().unwrap();
    assert!(public_key.starts_with("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"), "{public_key}");
    for path in [CHILDREN, INSTANCES] {
        let asked = of_path(&service, &format!("GET {path}ten "));
        assert_eq!(asked.len(), 2);
        assert!(asked[0].contains("keyId=\"ST$first."), "{}", asked[0]);
        assert!(asked[0].contains("headers=\"date (request-target) host\""), "{}", asked[0]);
    }
}

#[tokio::test]
async fn a_token_that_has_ended_or_was_taken_back_is_replaced() {
    let service = FakeTarget::start().await;
    fill(&service, "opc-tenant:ten");
    let mut asker = asker(&service);
    service.answer_in_turn("/v1/x509", &[token("old", 1), token("new", FOREVER_S)]);
    for expected in ["ST$old.", "ST$new.", "ST$new."] {
        asker.ask().await.unwrap();
        let last = of_path(&service, &format!("GET {INSTANCES}ten ")).pop().unwrap();
        assert!(last.contains(expected), "{expected}: {last}");
    }
    let shown = of_path(&service, "POST /v1/x509 ");
    let key_of = |request: &str| {
        let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        body["publicKey"].as_str().unwrap().to_owned()
    };
    assert_ne!(key_of(&shown[0]), key_of(&shown[1]), "a key is as old as its token");
    service.answer(&format!("{CHILDREN}ten"), Answer::status("401 Unauthorized"));
    asker.ask().await.unwrap_err();
    asker.ask().await.unwrap_err();
    assert_eq!(of_path(&service, "POST /v1/x509 ").len(), 3);
}

#[tokio::test]
async fn a_machine_that_gets_no_token_says_why_and_tells_no_secret() {
    let service = FakeTarget::start().await;
    let no_principal = "failed to create an instance principal: ";
    let no_status = format!("{no_principal}the metadata service answers with status ");
    for (path, answer, expected) in [
        (
            "/opc/v2/instance/region",
            Answer::status("404 Not Found"),
            format!("{no_status}404 Not Found"),
        ),
        ("/opc/v2/identity/cert.pem", Answer::status("500 Oh no"), format!("{no_status}500 Oh no")),
        (
            "/opc/v2/identity/cert.pem",
            Answer::text("hush"),
            format!("{no_principal}failed to find any PEM data in certificate input"),
        ),
        (
            "/opc/v2/identity/key.pem",
            Answer::text("hush"),
            format!("{no_principal}invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key"),
        ),
        (
            "/v1/x509",
            json(r#"{"token": "hush"}"#),
            "failed to get security token: the answer holds none".to_owned(),
        ),
        ("/v1/x509", json("{}"), "failed to get security token: the answer holds none".to_owned()),
        (
            "/v1/x509",
            Answer::status("401 Unauthorized"),
            "failed to get security token: Http Status Code: 401".to_owned(),
        ),
    ] {
        fill(&service, "opc-tenant:ten");
        service.answer(path, answer);
        let error = asker(&service).ask().await.unwrap_err().message;
        assert_eq!(error, expected, "{path}");
    }
    fill(&service, "somebody");
    let error = asker(&service).ask().await.unwrap_err().message;
    assert_eq!(error, format!("{no_principal}the certificate names no tenancy"));
}

#[tokio::test]
async fn services_that_hang_or_have_had_enough_hold_nobody_up() {
    let service = FakeTarget::start().await;
    fill(&service, "opc-tenant:ten");
    let throttled = b"HTTP/1.1 429 Slow Down\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n";
    for path in ["/opc/v2/identity/key.pem", "/v1/x509"] {
        service.answer(path, Answer::Bytes(throttled.to_vec()));
        let error = asker(&service).ask().await.unwrap_err();
        assert_eq!((error.is_throttled, error.retry_after), (true, Some(Duration::from_secs(17))));
        ends_a_hang(&service, &mut *asker(&service).hasty, path).await;
        fill(&service, "opc-tenant:ten");
    }
}
