//! Instances of Oracle's cloud, and what may go wrong.

mod principal;

use prom_testkit::FakeTarget;

use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

const CHILDREN: &str = "/20160918/compartments?accessLevel=ACCESSIBLE&compartmentIdInSubtree=false&limit=100&compartmentId=";
const INSTANCES: &str = "/20160918/instances?limit=100&compartmentId=";
const ATTACHMENTS: &str = "/20160918/vnicAttachments?limit=100&compartmentId=c1&instanceId=";

#[tokio::test]
async fn instances_of_all_compartments_are_targets() {
    let service = FakeTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let path = file.display();
    let sd = format!(
        "oci_sd_configs: [{{tenancy: ten, user: usr, fingerprint: 'aa:bb', key_file: '{path}', region: eu-frankfurt-1, port: 9100}}]"
    );
    let mut asker = asker_of(&service, &sd);
    std::fs::write(&file, "no key").unwrap();
    let error = asker.ask().await.unwrap_err().message;
    assert!(error.starts_with(&format!("reading OCI key file \"{path}\": invalid key")), "{error}");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    std::fs::write(&file, key.serialize_pem()).unwrap();
    service.answer(
        &format!("{CHILDREN}ten"),
        json(r#"[{"id": "c1", "lifecycleState": "ACTIVE"}, {"id": "gone", "lifecycleState": "DELETED"}]"#),
    );
    // What may not be seen is left out.
    service.answer(&format!("{CHILDREN}c1"), prom_testkit::Answer::status("404 Not Found"));
    service.answer(&format!("{INSTANCES}ten"), json("[]"));
    let instance = r#"{"id": "i1", "displayName": "web", "lifecycleState": "RUNNING", "shape": "VM.Standard2.1", "availabilityDomain": "AD-1",
        "faultDomain": "FD-1", "region": "eu-frankfurt-1", "compartmentId": "c1", "imageId": "img", "freeformTags": {"a b": "c"},
        "definedTags": {"Ops": {"Cost": 7, "On": true, "Deep": {}}}}"#;
    service.answer(
        &format!("{INSTANCES}c1"),
        prom_testkit::Answer::body(
            "application/json",
            &["opc-next-page: p2"],
            format!("[{instance}]").as_bytes(),
        ),
    );
    let bare = r#"[{"id": "i2", "compartmentId": "c1"}, {"id": "i3", "compartmentId": "c1"}, {"displayName": "no id"}]"#;
    service.answer(&format!("{INSTANCES}c1&page=p2"), json(bare));
    service.answer(
        &format!("{ATTACHMENTS}i1"),
        json(r#"[{"vnicId": "v0", "lifecycleState": "DETACHED"}, {"vnicId": "v1", "lifecycleState": "ATTACHED"}, {"vnicId": "v2", "lifecycleState": "ATTACHED"}]"#),
    );
    service.answer(
        &format!("{ATTACHMENTS}i2"),
        json(r#"[{"vnicId": "v3", "lifecycleState": "ATTACHED"}]"#),
    );
    service.answer("/20160918/vnics/v1", json(r#"{"id": "v1", "isPrimary": false}"#));
    service.answer("/20160918/vnics/v2", json(r#"{"id": "v2", "isPrimary": true, "privateIp": "10.0.0.2", "publicIp": "192.0.2.2", "hostnameLabel": "web", "ipv6Addresses": ["fd00::2", "fd00::1"]}"#));
    service.answer(
        "/20160918/vnics/v3",
        json(r#"{"id": "v3", "isPrimary": true, "ipv6Addresses": ["fd00::3"]}"#),
    );
    let found = asker.ask().await.unwrap();
    assert_eq!(&*found[0].source, "OCI");
    assert_eq!(
        lines(&found, "__meta_oci_"),
        [
            "__address__=10.0.0.2:9100 availability_domain=AD-1 compartment_id=c1 defined_tag_Ops_Cost=7 defined_tag_Ops_On=true \
             fault_domain=FD-1 hostname_label=web image_id=img instance_id=i1 instance_name=web instance_shape=VM.Standard2.1 \
             instance_state=RUNNING ipv6_addresses=,fd00::1,fd00::2, private_ip=10.0.0.2 public_ip=192.0.2.2 region=eu-frankfurt-1 \
             tag_a_b=c tenancy_id=ten vnic_id=v2",
            "__address__=[fd00::3]:9100 compartment_id=c1 instance_id=i2 ipv6_addresses=,fd00::3, tenancy_id=ten vnic_id=v3",
        ]
    );
    let first = service.requests()[0].clone();
    assert!(
        first.contains("Signature version=\"1\",keyId=\"ten/usr/aa:bb\",algorithm=\"rsa-sha256\",headers=\"date (request-target) host\",signature=\""),
        "{first}"
    );
    assert!(first.to_lowercase().contains("\r\ndate: "), "{first}");
    let named = sd.replace("9100", "9100, compartments: [c1]");
    let path = format!("{INSTANCES}c1");
    survives(&service, &mut *asker_of(&service, &named), &path).await;
    let hasty = named.replace("9100", "1, refresh_interval: 50ms");
    ends_a_hang(&service, &mut *asker_of(&service, &hasty).hasty, &path).await;
}

#[tokio::test]
async fn a_key_may_be_behind_a_passphrase() {
    let service = FakeTarget::start().await;
    service.answer(&format!("{INSTANCES}c1"), json("[]"));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let sealed = include_str!("../../../../http-client/fixtures/sealed-aes256-sha256.pem");
    std::fs::write(path("key"), sealed).unwrap();
    std::fs::write(path("phrase"), "hush\r\n").unwrap();
    let asker = |more: &str| {
        let key = path("key");
        let sd = format!(
            "oci_sd_configs: [{{tenancy: ten, user: usr, fingerprint: 'aa:bb', key_file: '{key}', region: r, compartments: [c1] {more}}}]"
        );
        asker_of(&service, &sd)
    };
    for more in ["", ", key_passphrase: Hush"] {
        let error = asker(more).ask().await.unwrap_err().message;
        assert!(error.ends_with("the passphrase is wrong") && !error.contains("Hush"), "{error}");
    }
    let error = asker(", key_passphrase_file: /nowhere").ask().await.unwrap_err().message;
    assert!(error.starts_with("reading OCI key passphrase file \"/nowhere\": "), "{error}");
    assert_eq!(service.requests().len(), 0);
    let from_file = format!(", key_passphrase_file: '{}'", path("phrase"));
    for more in [", key_passphrase: hush", &from_file] {
        let mut asker = asker(more);
        // Opened once.
        asker.ask().await.unwrap();
        asker.ask().await.unwrap();
        // Somebody has put another one there.
        std::fs::write(path("key"), "no key").unwrap();
        assert!(asker.ask().await.is_err());
        std::fs::write(path("key"), sealed).unwrap();
        asker.ask().await.unwrap();
    }
    let requests = service.requests();
    assert_eq!(requests.len(), 6);
    assert!(requests.iter().all(|head| head.contains("authorization: Signature version=\"1\",")));
}
