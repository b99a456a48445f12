//! Tokens of a single sign-on that have ended, and what becomes of them.

use std::os::unix::fs::PermissionsExt;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const PROFILE: &str = "[profile corp]\nsso_session = corp\nsso_account_id=1\nsso_role_name=r\n\
                       [sso-session corp]\nsso_region = eu-west-3\nsso_start_url = https://corp.test/start\n";
/// SHA-1 of `corp`.
const FILE: &str = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
const LEFT: &str = r#"{"startUrl": "https://corp.test/start", "region": "eu-west-3", "accessToken": "old", "expiresAt": "2020-01-01T00:00:00Z",
    "clientId": "id", "clientSecret": "hush", "refreshToken": "again", "registrationExpiresAt": "2100-01-01T00:00:00Z"}"#;

/// Somebody has signed on, long ago.
async fn signed_on(left: &str) -> (FakeTarget, tempfile::TempDir) {
    let (service, folder) = (FakeTarget::start().await, tempfile::tempdir().unwrap());
    fs::write(folder.path().join("config"), PROFILE).unwrap();
    let file = folder.path().join(FILE);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, left).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let new = r#"{"accessToken": "new", "expiresIn": 3600, "refreshToken": "once more", "tokenType": "Bearer"}"#;
    service.answer("/oidc/token", json(new));
    let keys = r#"{"roleCredentials": {"accessKeyId": "S", "secretAccessKey": "s", "sessionToken": "st", "expiration": 1000}}"#;
    service.answer("/sso/federation/credentials?account_id=1&role_name=r", json(keys));
    (service, folder)
}

fn corp(service: &FakeTarget, folder: &Path) -> AwsAccount {
    corp_at(service, folder, "URL/oidc")
}

fn corp_at(service: &FakeTarget, folder: &Path, oidc: &str) -> AwsAccount {
    let (config, home) =
        (folder.join("config").display().to_string(), folder.display().to_string());
    let env = [
        ("AWS_CONFIG_FILE", config.as_str()),
        ("HOME", &home),
        ("AWS_ENDPOINT_URL_SSO", "URL/sso"),
        ("AWS_ENDPOINT_URL_SSO_OIDC", oidc),
    ];
    account(service, AwsConfig { profile: "corp".to_owned(), ..AwsConfig::default() }, &env)
}

fn left(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join(FILE)).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_once_and_left_for_others() {
    let (service, folder) = signed_on(LEFT).await;
    let at = folder.path();
    for _ in 0..2 {
        // The keys themselves have ended, too.
        assert_eq!(found(&corp(&service, at)).await, "S s st");
    }
    let requests = service.requests();
    let renewals: Vec<_> =
        requests.iter().filter(|it| it.starts_with("POST /oidc/token ")).collect();
    assert_eq!(renewals.len(), 1);
    let wish: serde_json::Value =
        serde_json::from_str(renewals[0].split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let expected = serde_json::json!({"clientId": "id", "clientSecret": "hush", "grantType": "refresh_token", "refreshToken": "again"});
    assert_eq!(wish, expected);
    let asked = requests.iter().filter(|it| it.contains("x-amz-sso_bearer_token: new\r\n"));
    assert_eq!(asked.count(), 2);
    let left = left(at);
    assert_eq!((&left["accessToken"], &left["refreshToken"]), (&"new".into(), &"once more".into()));
    assert_eq!(left["registrationExpiresAt"], "2100-01-01T00:00:00Z", "what is not known stays");
    let until: Timestamp = left["expiresAt"].as_str().unwrap().parse().unwrap();
    let seconds = until.as_second() - Timestamp::now().as_second();
    assert!((3000..=3600).contains(&seconds), "{until}");
    let file = at.join(FILE);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside");
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_stays_and_says_why() {
    let about = "error: failed to load the AWS profile \"corp\": ";
    let expired = format!(
        "{about}the SSO session has expired or is invalid: sign on with \"aws sso login --profile corp\""
    );
    let without = |key: &str| LEFT.replace(key, "x");
    let refused = |error: &str| {
        let body = format!("{{\"error\": \"{error}\", \"error_description\": \"hush\"}}");
        let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n", body.len());
        Answer::Bytes([head, body].concat().into_bytes())
    };
    let status = |code: u16| format!("{about}CreateToken is answered with status {code}");
    for (text, answer, expected) in [
        (without("refreshToken"), json("{}"), expired.clone()),
        (without("clientId"), json("{}"), expired.clone()),
        (LEFT.to_owned(), refused("invalid_grant"), expired.clone()),
        (LEFT.to_owned(), refused("expired_token"), expired.clone()),
        (LEFT.to_owned(), refused("slow_down"), format!("{}: slow_down", status(400))),
        (LEFT.to_owned(), refused("no word"), status(400)),
        (LEFT.to_owned(), Answer::status("500 Oh no"), status(500)),
        (LEFT.to_owned(), Answer::status("429 Too Many Requests"), status(429)),
        (LEFT.to_owned(), json("hush"), format!("{about}the answer holds no token")),
        (
            LEFT.to_owned(),
            json(r#"{"accessToken": "hush"}"#),
            format!("{about}the answer holds no token"),
        ),
        (without("accessToken"), json("{}"), format!("{about}FILE holds no token")),
    ] {
        let (service, folder) = signed_on(&text).await;
        service.answer("/oidc/token", answer);
        let file = folder.path().join(FILE);
        let expected = expected.replace("FILE", &file.display().to_string());
        assert_eq!(found(&corp(&service, folder.path())).await, expected, "{text}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_asked_for() {
    let (service, folder) = signed_on(LEFT).await;
    // So deep that there is no room for the name of one more file, for whatever user.
    let depth_bytes = 4_095 - FILE.len() - 2;
    let mut home = folder.path().display().to_string();
    while home.len() < depth_bytes {
        let rest_bytes = depth_bytes - home.len();
        let part_bytes = if rest_bytes > 202 { 200 } else { rest_bytes - 1 };
        home = format!("{home}/{}", "x".repeat(part_bytes));
    }
    let file = Path::new(&home).join(FILE);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, LEFT).unwrap();
    fs::copy(folder.path().join("config"), Path::new(&home).join("config")).unwrap();
    let expected = "error: failed to load the AWS profile \"corp\": unable to cache refreshed SSO token, file name too long";
    assert_eq!(found(&corp(&service, Path::new(&home))).await, expected);
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn whoever_was_faster_is_believed() {
    let (service, folder) = signed_on(LEFT).await;
    let file = folder.path().join(FILE);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let oidc = format!("http://{}", listener.local_addr().unwrap());
    // Refuses, as somebody else has renewed the token just before.
    let others = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        let new = LEFT.replace("\"old\"", "\"of another\"").replace("2020-", "2100-");
        fs::write(&file, new).unwrap();
        let refusal =
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 26\r\n\r\n{\"error\": \"invalid_grant\"}";
        stream.write_all(refusal).await.unwrap();
        stream
    };
    let account = corp_at(&service, folder.path(), &oidc);
    let (ours, _stream) = tokio::join!(found(&account), others);
    assert_eq!(ours, "S s st");
    assert_eq!(left(folder.path())["accessToken"], "of another");
    let asked = service.requests().pop().unwrap();
    assert!(asked.contains("x-amz-sso_bearer_token: of another\r\n"), "{asked}");
}
