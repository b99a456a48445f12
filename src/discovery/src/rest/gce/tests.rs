//! Instances of Google's cloud, and where tokens come from.

use prom_testkit::{Answer, FakeTarget};

use crate::rest::tests::{asker_in, ends_a_hang, json, lines, survives};

const PATH: &str = "/projects/my-project/zones/europe-west1-b/instances";
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const SD: &str = "gce_sd_configs: [{project: my-project, zone: europe-west1-b, port: 9100, filter: 'labels.a=b'}]";

const FIRST: &str = r#"{"kind": "compute#instanceList", "items": [{
    "id": "4567", "name": "web-1", "status": "RUNNING", "zone": "https://www.googleapis.com/compute/v1/projects/my-project/zones/europe-west1-b",
    "machineType": "https://www.googleapis.com/compute/v1/projects/my-project/zones/europe-west1-b/machineTypes/n1",
    "networkInterfaces": [{"name": "nic0", "network": "net", "subnetwork": "sub", "networkIP": "10.0.0.2",
        "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "natIP": "192.0.2.1"}]}, {"name": "nic1", "networkIP": "10.0.1.2"}],
    "tags": {"items": ["http-server", "x"], "fingerprint": "f"}, "metadata": {"items": [{"key": "ssh-keys", "value": "k"}, {"key": "none"}]},
    "labels": {"env": "prod"}}, {"id": "1", "networkInterfaces": []}], "nextPageToken": "p/2"}"#;

fn token() -> Answer {
    json(r#"{"access_token": "ya29", "expires_in": 3599, "token_type": "Bearer"}"#)
}

#[tokio::test]
async fn instances_are_targets_on_all_pages() {
    let service = FakeTarget::start().await;
    let host = service.address();
    let mut asker = asker_in(&service, SD, &[("GCE_METADATA_HOST", &host), ("HOME", "/nowhere")]);
    service.answer(TOKEN_PATH, token());
    service.answer_in_turn(PATH, &[json(FIRST), json(r#"{"items": []}"#)]);
    let found = asker.ask().await.unwrap();
    assert_eq!(&*found[0].source, "GCE_my-project_europe-west1-b");
    let zone = "https://www.googleapis.com/compute/v1/projects/my-project/zones/europe-west1-b";
    assert_eq!(
        lines(&found, "__meta_gce_"),
        [format!(
            "__address__=10.0.0.2:9100 instance_id=4567 instance_name=web-1 instance_status=RUNNING interface_ipv4_nic0=10.0.0.2 \
             interface_ipv4_nic1=10.0.1.2 label_env=prod machine_type={zone}/machineTypes/n1 metadata_ssh_keys=k network=net \
             private_ip=10.0.0.2 project=my-project public_ip=192.0.2.1 subnetwork=sub tags=,http-server,x, zone={zone}"
        )]
    );
    let requests = service.requests();
    assert!(requests[0].to_lowercase().contains("metadata-flavor: google\r\n"));
    assert!(requests[1].starts_with(&format!("GET {PATH}?filter=labels.a%3Db HTTP")));
    assert!(requests[1].to_lowercase().contains("authorization: bearer ya29\r\n"));
    assert!(requests[2].contains("pageToken=p%2F2"), "{}", requests[2]);
    service.answer(PATH, json("{}"));
    asker.ask().await.unwrap();
    assert_eq!(service.requests().len(), 4, "the token is kept");
    survives(&service, &mut *asker, PATH).await;
    let env = [("GCE_METADATA_HOST", host.as_str())];
    let mut hasty = asker_in(&service, &SD.replace("9100", "1, refresh_interval: 50ms"), &env);
    ends_a_hang(&service, &mut *hasty.hasty, PATH).await;
}

#[tokio::test]
async fn tokens_come_from_files_and_refusals_are_told() {
    let service = FakeTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    let path = file.display().to_string();
    let env = [("GOOGLE_APPLICATION_CREDENTIALS", path.as_str())];
    let setting_up = "error setting up communication with GCE service: ";
    let mut asker = asker_in(&service, SD, &env);
    let missing = asker.ask().await.unwrap_err().message;
    assert!(missing.starts_with(setting_up) && missing.contains("No such file"), "{missing}");
    let token_uri = service.url("/token");
    let user = format!(
        r#"{{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": "{token_uri}"}}"#
    );
    std::fs::write(&file, user).unwrap();
    let refusal = r#"{"error": "invalid_grant", "error_description": "Bad Request"}"#;
    let size = refusal.len();
    let refused = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {size}\r\n\r\n{refusal}");
    service.answer("/token", Answer::Bytes(refused.into_bytes()));
    let error = asker.ask().await.unwrap_err().message;
    assert_eq!(
        error,
        format!("{setting_up}oauth2: cannot fetch token: 400 Bad Request: Bad Request")
    );
    let form = "client_id=c&client_secret=s&refresh_token=r";
    assert!(service.requests()[0].ends_with(&format!("grant_type=refresh_token&{form}")));

    std::fs::write(&file, r#"{"type": "service_account", "private_key": "no key"}"#).unwrap();
    let error = asker.ask().await.unwrap_err().message;
    let expected = "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key";
    assert_eq!(error, format!("{setting_up}{expected}"));
    std::fs::write(&file, r#"{"type": "external_account"}"#).unwrap();
    let error = asker.ask().await.unwrap_err().message;
    let expected = "credentials of type \"external_account\" are not supported";
    assert_eq!(error, format!("{setting_up}{expected}"));
    // A token that was taken back is fetched anew.
    std::fs::write(&file, format!(r#"{{"type": "authorized_user", "token_uri": "{token_uri}"}}"#))
        .unwrap();
    service.answer("/token", token());
    let (no, yes) = (Answer::status("401 Unauthorized"), json(FIRST.trim_end_matches("}").trim()));
    service.answer_in_turn(PATH, &[no, yes]);
    assert!(asker.ask().await.unwrap_err().message.contains("googleapi: Error 401"));
    let tokens = |service: &FakeTarget| {
        service.requests().iter().filter(|head| head.starts_with("POST /token")).count()
    };
    let before = tokens(&service);
    drop(asker.ask().await);
    assert_eq!(tokens(&service), before + 1);
}
