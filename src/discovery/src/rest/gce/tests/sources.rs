//! External accounts whose tokens come from a program or from Amazon's cloud.

use std::{fs, path::Path};

use super::*;

const GOOGLE: &str = "oauth2/google/externalaccount: ";

/// A service that exchanges everything.
async fn exchange() -> FakeTarget {
    let service = FakeTarget::start().await;
    service.answer("/sts", json(r#"{"access_token": "first", "expires_in": 3600}"#));
    let second = r#"{"accessToken": "second", "expireTime": "2100-01-01T00:00:00Z"}"#;
    service.answer("/v1/projects/-/serviceAccounts/me@corp.test:generateAccessToken", json(second));
    service.answer(PATH, json("{}"));
    service
}

/// The token that was exchanged last.
fn subject(service: &FakeTarget) -> String {
    let requests = service.requests();
    let exchanged = requests.iter().rfind(|it| it.starts_with("POST /sts ")).unwrap();
    let form = exchanged.split("\r\n\r\n").nth(1).unwrap();
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    pairs.find(|(name, _)| name == "subject_token").unwrap().1.into_owned()
}

const ALLOWED: (&str, &str) = ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");

/// A program, as the source names it, that runs `script`.
fn program(folder: &Path, script: &str, more: &str) -> String {
    let path = folder.join("program");
    fs::write(&path, script).unwrap();
    format!(r#""executable": {{"command": "sh {}" {more}}}"#, path.display())
}

#[tokio::test]
async fn programs_print_tokens() {
    let (service, folder) = (exchange().await, tempfile::tempdir().unwrap());
    let at = folder.path();
    let script = |fields: &str| format!("echo '{{\"version\": 1, \"success\": true, {fields}}}'");
    let ask = async |source: &str, more: &str| {
        external_in(&service, at, source, more, &[ALLOWED]).await.unwrap();
        subject(&service)
    };
    for (fields, expected) in [
        (r#""token_type": "urn:ietf:params:oauth:token-type:id_token", "id_token": "a""#, "a"),
        (
            r#""token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": "b", "expiration_time": 4102444800"#,
            "b",
        ),
        (r#""token_type": "urn:ietf:params:oauth:token-type:saml2", "saml_response": "c""#, "c"),
    ] {
        let source = program(at, &script(fields), ", \"timeout_millis\": 120000");
        assert_eq!(ask(&source, "").await, expected);
    }
    // What a program is told.
    let told = r#"told=$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE,$GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE,$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE,$GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL
        echo "{\"version\": 1, \"success\": true, \"token_type\": \"urn:ietf:params:oauth:token-type:jwt\", \"id_token\": \"$told\"}""#;
    let as_account = r#", "service_account_impersonation_url": "URL/v1/projects/-/serviceAccounts/me@corp.test:generateAccessToken""#;
    let source = program(at, told, "");
    assert_eq!(ask(&source, as_account).await, "//iam/pool,urn:jwt,0,me@corp.test");
    // What it has left is taken as long as it is good.
    let left = at.join("left").display().to_string();
    let write = r#"echo '{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": "new", "expiration_time": 4102444800}' | tee "$GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE""#;
    let source = program(at, write, &format!(r#", "output_file": "{left}""#));
    let old = |until: &str| {
        format!(
            r#"{{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": "old", "expiration_time": {until}}}"#
        )
    };
    fs::write(&left, old("4102444800")).unwrap();
    assert_eq!(ask(&source, "").await, "old");
    for useless in
        [&old("1"), "", r#"{"version": 1, "success": false, "code": "1", "message": "m"}"#]
    {
        fs::write(&left, useless).unwrap();
        assert_eq!(ask(&source, "").await, "new", "{useless}");
        assert!(fs::read_to_string(&left).unwrap().contains("new"));
    }
    fs::remove_file(&left).unwrap();
    assert_eq!(ask(&source, "").await, "new");
}

#[tokio::test]
async fn programs_that_give_nothing_say_why_and_tell_no_secret() {
    let (service, folder) = (exchange().await, tempfile::tempdir().unwrap());
    let at = folder.path();
    let print = |text: &str| format!("echo '{text}'");
    let good = r#"{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": "hush"}"#;
    let cases = [
        (print("hush"), "", "unable to parse response"),
        (print("{}"), "", "response missing `\"version\"` field"),
        (print(r#"{"version": 1}"#), "", "response missing `\"success\"` field"),
        (print(&good.replace("1,", "2,")), "", "response contains unsupported version: 2"),
        (print(&good.replace(":jwt", ":x")), "", "response contains unsupported token type"),
        (print(&good.replace("id_token", "x")), "", "response missing `\"id_token\"` field"),
        (
            print(&good.replace("token_type\"", "x\"")),
            "",
            "response missing `\"token_type\"` field",
        ),
        (
            print(good),
            ", \"output_file\": \"/nowhere/x\"",
            "response missing `\"expiration_time\"` field",
        ),
        (
            print(&good.replace("}", ", \"expiration_time\": 1}")),
            "",
            "the token returned by the executable is expired",
        ),
        (
            print(r#"{"version": 1, "success": false, "code": "401", "message": "sign in first"}"#),
            "",
            "response contains unsuccessful response: (401) sign in first",
        ),
        (
            print(r#"{"version": 1, "success": false}"#),
            "",
            "response must include `error` and `message` fields when unsuccessful",
        ),
        (
            "echo 'no session' >&2; exit 3".to_owned(),
            "",
            "executable command failed: executable sh failed with exit status: 3: no session",
        ),
        (
            print(good),
            ", \"timeout_millis\": 4999",
            "invalid `timeout_millis` field - executable timeout must be between 5 and 120 seconds",
        ),
    ];
    for (script, more, expected) in cases {
        let source = program(at, &script, more);
        let error = external_in(&service, at, &source, "", &[ALLOWED]).await.unwrap_err();
        assert_eq!(error, format!("{GOOGLE}{expected}"), "{script}");
    }
    let source = program(at, "touch ran", "");
    let error = external(&service, at, &source, "").await.unwrap_err();
    let forbidden = "executables need to be explicitly allowed (set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES to '1') to run";
    assert_eq!(error, format!("{GOOGLE}{forbidden}"));
    let error = external(&service, at, r#""executable": {"command": " "}"#, "").await.unwrap_err();
    let missing = "missing `command` field - executable command must be provided";
    assert_eq!(error, format!("{GOOGLE}{missing}"));
    assert!(service.requests().is_empty());
}

/// The source of an account that runs on one of Amazon's machines.
const MACHINE: &str = r#""environment_id": "aws1", "region_url": "URL/zone", "url": "URL/roles", "imdsv2_session_token_url": "URL/session",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15""#;

fn fill(service: &FakeTarget) {
    service.answer("/session", Answer::text("the session"));
    service.answer("/zone", Answer::text("eu-west-1b"));
    service.answer("/roles", Answer::text("reader"));
    let keys =
        r#"{"Code": "Success", "AccessKeyId": "AK", "SecretAccessKey": "hush", "Token": "tok"}"#;
    service.answer("/roles/reader", json(keys));
}

#[tokio::test]
async fn amazons_machines_prove_who_they_are() {
    let (service, folder) = (exchange().await, tempfile::tempdir().unwrap());
    let at = folder.path();
    fill(&service);
    let proof = |service: &FakeTarget| -> serde_json::Value {
        let subject = subject(service);
        let text = percent_decoded(&subject);
        assert!(!text.contains("hush"), "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let header = |proof: &serde_json::Value, name: &str| {
        let headers = proof["headers"].as_array().unwrap();
        let found = headers.iter().find(|header| header["key"] == name);
        found.map(|header| header["value"].as_str().unwrap().to_owned())
    };
    external(&service, at, MACHINE, "").await.unwrap();
    let given = proof(&service);
    let identity = "amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
    assert_eq!(given["url"], format!("https://sts.eu-west-1.{identity}"));
    assert_eq!(given["method"], "POST");
    assert_eq!(header(&given, "host").unwrap(), "sts.eu-west-1.amazonaws.com");
    assert_eq!(header(&given, "x-amz-security-token").unwrap(), "tok");
    assert_eq!(header(&given, "x-goog-cloud-target-resource").unwrap(), "//iam/pool");
    let authorization = header(&given, "authorization").unwrap();
    let date = &header(&given, "x-amz-date").unwrap()[..8];
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=AK/{date}/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource, Signature="
    );
    assert!(authorization.starts_with(&signed), "{authorization}");
    let requests = service.requests();
    let asked: Vec<_> = requests.iter().map(|it| it.split(" HTTP").next().unwrap()).collect();
    assert_eq!(asked[..4], ["PUT /session", "GET /roles", "GET /roles/reader", "GET /zone"]);
    assert!(requests[0].contains("x-aws-ec2-metadata-token-ttl-seconds: 300\r\n"));
    let has_session = |it: &&String| it.contains("x-aws-ec2-metadata-token: the session\r\n");
    assert_eq!(requests.iter().filter(has_session).count(), 3);

    // What the environment says comes first.
    let before = requests.len();
    let env = [
        ("AWS_ACCESS_KEY_ID", "ENV"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_DEFAULT_REGION", "us-east-2"),
    ];
    external_in(&service, at, MACHINE, "", &env).await.unwrap();
    let given = proof(&service);
    assert_eq!(given["url"], format!("https://sts.us-east-2.{identity}"));
    assert!(header(&given, "authorization").unwrap().contains("Credential=ENV/"));
    assert_eq!(header(&given, "x-amz-security-token"), None);
    assert_eq!(service.requests().len(), before + 2, "the machine is not asked");
}

fn percent_decoded(text: &str) -> String {
    let pair = format!("it={text}");
    url::form_urlencoded::parse(pair.as_bytes()).next().unwrap().1.into_owned()
}

#[tokio::test]
async fn amazons_machines_that_prove_nothing_say_why() {
    let (service, folder) = (exchange().await, tempfile::tempdir().unwrap());
    let at = folder.path();
    let refused = Answer::status("403 Forbidden");
    for (path, answer, expected) in [
        ("/session", refused.clone(), "unable to retrieve AWS session token - status code 403"),
        ("/roles", refused.clone(), "unable to retrieve AWS role name - status code 403"),
        (
            "/roles/reader",
            refused.clone(),
            "unable to retrieve AWS security credentials - status code 403",
        ),
        ("/zone", refused, "unable to retrieve AWS region - status code 403"),
        ("/roles/reader", Answer::text("hush"), "the AWS security credentials are not JSON"),
        ("/roles/reader", json("{}"), "missing AccessKeyId credential"),
        ("/roles/reader", json(r#"{"AccessKeyId": "a"}"#), "missing SecretAccessKey credential"),
    ] {
        fill(&service);
        service.answer(path, answer);
        let error = external(&service, at, MACHINE, "").await.unwrap_err();
        assert_eq!(error, format!("{GOOGLE}{expected}"), "{path}");
    }
    for (source, expected) in [
        (r#""environment_id": "aws2""#, "aws version '2' is not supported in the current build"),
        (r#""environment_id": "aws""#, "unable to parse credential source"),
        (
            r#""environment_id": "aws1""#,
            "unable to determine the AWS metadata server security credentials endpoint",
        ),
    ] {
        let error = external(&service, at, source, "").await.unwrap_err();
        assert_eq!(error, format!("{GOOGLE}{expected}"), "{source}");
    }
    fill(&service);
    service.answer("/zone", Answer::text(""));
    external(&service, at, MACHINE, "").await.unwrap_err();
}
