//! Instances of Google's cloud, and where tokens come from.

mod sources;

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
    assert!(missing.starts_with(setting_up) && missing.contains("no such file"), "{missing}");
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
    std::fs::write(&file, r#"{"type": "gdch_service_account"}"#).unwrap();
    let error = asker.ask().await.unwrap_err().message;
    let expected = "credentials of type \"gdch_service_account\" are not supported";
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

/// What an external account that lives at `source` asks for, or why it gets nothing.
async fn external(
    service: &FakeTarget,
    folder: &std::path::Path,
    source: &str,
    more: &str,
) -> Result<String, String> {
    external_in(service, folder, source, more, &[]).await
}

/// The same in an environment.
async fn external_in(
    service: &FakeTarget,
    folder: &std::path::Path,
    source: &str,
    more: &str,
    env: &[(&str, &str)],
) -> Result<String, String> {
    let (file, url) = (folder.join("account.json"), service.url(""));
    let account = format!(
        r#"{{"type": "external_account", "audience": "//iam/pool", "subject_token_type": "urn:jwt", "token_url": "{url}/sts",
            "credential_source": {{{source}}} {more}}}"#
    );
    let account = account.replace("URL", &url).replace("FOLDER", &folder.display().to_string());
    std::fs::write(&file, account).unwrap();
    let file = ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap());
    match asker_in(service, SD, &[&[file], env].concat()).ask().await {
        Ok(_) => Ok(service.requests().pop().unwrap()),
        Err(error) => {
            let cut = "error setting up communication with GCE service: ";
            Err(error.message.strip_prefix(cut).unwrap_or(&error.message).to_owned())
        }
    }
}

#[tokio::test]
async fn tokens_of_others_are_exchanged() {
    let service = FakeTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("token"), "subject jwt\n").unwrap();
    std::fs::write(at.join("token.json"), r#"{"access_token": "of json", "other": 1}"#).unwrap();
    service.answer("/identity", json(r#"{"value": "of url"}"#));
    service.answer("/sts", json(r#"{"access_token": "first", "expires_in": 3600}"#));
    let second = r#"{"accessToken": "second", "expireTime": "2100-01-01T00:00:00Z"}"#;
    service.answer("/impersonate", json(second));
    service.answer(PATH, json("{}"));
    let as_account = r#", "service_account_impersonation_url": "URL/impersonate", "service_account_impersonation": {"token_lifetime_seconds": 600}"#;
    let of_json = |field: &str| {
        format!(
            r#""file": "FOLDER/token.json", "format": {{"type": "json", "subject_token_field_name": "{field}"}}"#
        )
    };
    let of_url = r#""url": "URL/identity", "headers": {"Metadata": "True"}, "format": {"type": "json", "subject_token_field_name": "value"}"#;
    let client = r#", "client_id": "me", "client_secret": "hush""#;
    for (source, more, subject, token) in [
        (r#""file": "FOLDER/token""#.to_owned(), "", "subject+jwt", "first"),
        (of_json("access_token"), client, "of+json", "first"),
        (of_url.to_owned(), as_account, "of+url", "second"),
    ] {
        let listed = external(&service, at, &source, more).await.unwrap();
        assert!(listed.contains(&format!("authorization: Bearer {token}\r\n")), "{listed}");
        let requests = service.requests();
        let exchange = requests.iter().rfind(|it| it.starts_with("POST /sts ")).unwrap();
        let scope = if token == "second" { "cloud-platform" } else { "compute.readonly" };
        for part in [
            "audience=%2F%2Fiam%2Fpool&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange",
            "subject_token_type=urn%3Ajwt",
            &format!("subject_token={subject}&scope="),
            &format!("auth%2F{scope}"),
        ] {
            assert!(exchange.contains(part), "{part}: {exchange}");
        }
        let is_known = exchange.contains("authorization: Basic bWU6aHVzaA==\r\n");
        assert_eq!(is_known, more == client, "{exchange}");
    }
    let requests = service.requests();
    assert!(
        requests
            .iter()
            .any(|it| it.starts_with("GET /identity ") && it.contains("metadata: True\r\n"))
    );
    let wish = requests.iter().find(|it| it.starts_with("POST /impersonate ")).unwrap();
    assert!(wish.contains("authorization: Bearer first\r\n"), "{wish}");
    assert!(wish.contains(r#""lifetime":"600s""#) && wish.contains("compute.readonly"), "{wish}");
}

#[tokio::test]
async fn external_accounts_that_get_nothing_say_why() {
    let service = FakeTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("token"), "hush").unwrap();
    std::fs::write(at.join("empty"), " \n").unwrap();
    let refusal = |code: &str, body: &str| {
        let size = body.len();
        let head = format!("HTTP/1.1 {code}\r\nContent-Length: {size}\r\n\r\n{body}");
        Answer::Bytes(head.into_bytes())
    };
    service.answer("/identity", refusal("404 Not Found", ""));
    let reason = r#"{"error": "invalid_grant", "error_description": "unknown pool"}"#;
    service.answer("/sts", refusal("400 Bad Request", reason));
    let google = "oauth2/google/externalaccount: ";
    let as_json = r#""format": {"type": "json", "subject_token_field_name": "x"}"#;
    for (source, expected) in [
        (
            r#""file": "FOLDER/token""#.to_owned(),
            "oauth2/google: status code 400: unknown pool".to_owned(),
        ),
        (
            r#""file": "FOLDER/gone""#.to_owned(),
            format!(
                "{google}failed to open credential file: open FOLDER/gone: no such file or directory"
            ),
        ),
        (
            r#""file": "FOLDER/empty""#.to_owned(),
            format!("{google}improperly formatted subject token"),
        ),
        (
            format!(r#""file": "FOLDER/token", {as_json}"#),
            format!("{google}failed to unmarshal subject token"),
        ),
        (
            r#""file": "FOLDER/token", "format": {"type": "xml"}"#.to_owned(),
            format!("{google}invalid credential_source file format type"),
        ),
        (r#""url": "URL/identity""#.to_owned(), format!("{google}status code 404")),
        (String::new(), format!("{google}unable to parse credential source")),
        (
            r#""certificate": {}"#.to_owned(),
            "credentials of an external account from a certificate (certificate) are not supported"
                .to_owned(),
        ),
    ] {
        let error = external(&service, at, &source, "").await.unwrap_err();
        assert_eq!(error, expected.replace("FOLDER", &at.display().to_string()), "{source}");
    }
    service.answer("/sts", json(r#"{"access_token": "first", "expires_in": 3600}"#));
    let reason = r#"{"error": {"code": 403, "message": "not allowed"}}"#;
    service.answer("/impersonate", refusal("403 Forbidden", reason));
    let as_account = r#", "service_account_impersonation_url": "URL/impersonate""#;
    let error = external(&service, at, r#""file": "FOLDER/token""#, as_account).await.unwrap_err();
    assert_eq!(error, "oauth2/google: status code 403: not allowed");
}
