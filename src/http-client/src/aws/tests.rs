//! Signatures against Amazon's own examples, and keys from every place they may be in, each played by a
//! service of the test's own.

mod renewal;

use std::{collections::HashMap, fs, path::Path};

use prom_testkit::{Answer, FakeTarget};

use super::*;
use crate::Client;

#[test]
fn signatures_are_those_of_the_test_suite_of_amazon() {
    let keys = Keys::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "");
    let at = "2015-08-30T12:36:00Z".parse().unwrap();
    let scope = Scope { region: "us-east-1", service: "service", at };
    let get = Signing {
        method: "GET",
        host: "example.amazonaws.com",
        path: "/",
        query: "",
        headers: &[],
        body: b"",
    };
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (signing, names, signature) in [
        (
            Signing { ..get },
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Signing { query: "Param2=value2&Param1=value1", ..get },
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            Signing { method: "POST", headers: &form, body: b"Param1=value1", ..get },
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ] {
        let headers = sign::sign(&signing, &keys, &scope);
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={signature}"
        );
        assert_eq!(
            headers,
            [("x-amz-date", "20150830T123600Z".to_owned()), ("authorization", expected)]
        );
    }
    let keys = Keys::new("A", "B", "token");
    let headers = sign::sign(&Signing { path: "/v1/a%3Ab/c", ..get }, &keys, &scope);
    assert_eq!(headers[1], ("x-amz-security-token", "token".to_owned()));
    assert!(headers[2].1.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
    assert!(!format!("{:?}", keys.secret_key).contains('B'));
}

/// An account whose environment is `env`; `URL` stands for the service's address.
fn account(service: &FakeTarget, cfg: AwsConfig, env: &[(&str, &str)]) -> AwsAccount {
    let mut all: HashMap<String, String> = HashMap::from([
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), service.url("")),
        ("AWS_ENDPOINT_URL_STS".to_owned(), service.url("/sts")),
        ("HOME".to_owned(), "/nowhere".to_owned()),
    ]);
    let url = service.url("");
    all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), value.replace("URL", &url))));
    let env = Box::new(move |name: &str| all.get(name).cloned());
    AwsAccount::with_env(cfg, &HttpClientConfig::default(), "Prometheus/3.5.0", env)
}

async fn found(account: &AwsAccount) -> String {
    match account.keys().await {
        Ok(keys) => {
            let (secret, token) = (keys.secret_key.reveal(), keys.session_token.reveal());
            format!("{} {secret} {token}", keys.access_key).trim_end().to_owned()
        }
        Err(cause) => format!("error: {cause}"),
    }
}

fn json(body: &str) -> Answer {
    Answer::body("application/json", &[], body.as_bytes())
}

fn role_answer(access_key: &str) -> Answer {
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>role&amp;secret</SecretAccessKey>\
         <SessionToken>session</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    Answer::body("text/xml", &[], body.as_bytes())
}

/// Everything that may have keys: files in `folder`, and services.
fn fill(service: &FakeTarget, folder: &Path) {
    let config = "# comment\n[default]\nregion = eu-north-1\n[profile env]\ncredential_source = Environment\nrole_arn=arn:r\n\
                  [profile both]\nregion=x\n[profile loop]\nsource_profile=loop2\n[profile loop2]\nsource_profile=loop\n\
                  [profile process]\ncredential_process = cat 'FOLDER/keys of program.json'\n\
                  [profile failing]\ncredential_process = echo 'no session' >&2; exit 7\n\
                  [profile silent]\ncredential_process = /bin/true\n\
                  [profile signed]\nsso_session = corp\nsso_account_id=123\nsso_role_name=a reader\ncredential_process=/bin/false\n\
                  [sso-session corp]\nsso_region = eu-west-3\nsso_start_url = https://corp.test/start\n\
                  [profile legacy]\nsso_start_url=https://old.test/start\nsso_region=r\nsso_account_id=123\nsso_role_name=reader\n\
                  [profile never]\nsso_start_url=https://never.test/start\nsso_region=r\nsso_account_id=123\nsso_role_name=reader\n\
                  [profile lost]\nsso_session=gone\nsso_account_id=1\nsso_role_name=r\n\
                  [profile partly]\nsso_account_id=1\nsso_role_name=r\n";
    let config = config.replace("FOLDER", &folder.display().to_string());
    let printed =
        r#"{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "p", "SessionToken": "pt"}"#;
    fs::write(folder.join("keys of program.json"), printed).unwrap();
    let cache = folder.join(".aws/sso/cache");
    fs::create_dir_all(&cache).unwrap();
    // Names are SHA-1 of `corp` and of `https://old.test/start`.
    for (name, expires_at) in [
        ("ee0bfd2552fbd840c02cc48b6e823320543c450f", "2100-01-01T00:00:00Z"),
        ("a02fe920932556accebfc49a5a2c4ca7b7edfad4", "2020-01-01T00:00:00Z"),
    ] {
        let token = format!(
            r#"{{"startUrl": "x", "accessToken": "sso-token", "expiresAt": "{expires_at}"}}"#
        );
        fs::write(cache.join(format!("{name}.json")), token).unwrap();
    }
    service.answer("/federation/credentials", json(r#"{"roleCredentials": {"accessKeyId": "S", "secretAccessKey": "s", "sessionToken": "st", "expiration": 4102444800000}}"#));
    fs::write(folder.join("config"), config).unwrap();
    let credentials = "[default]\naws_access_key_id = DEF ; note\naws_secret_access_key = def\n\
                       [both]\naws_access_key_id=B\naws_secret_access_key=b\naws_session_token=t\n";
    fs::write(folder.join("credentials"), credentials).unwrap();
    fs::write(folder.join("token"), "jwt\n").unwrap();
    service.answer("/sts", role_answer("ROLE"));
    service.answer("/container", json(r#"{"AccessKeyId": "C", "SecretAccessKey": "c", "Token": "ct", "Expiration": "2100-01-01T00:00:00Z"}"#));
    service.answer("/latest/api/token", Answer::text("v2"));
    let keys_path = "/latest/meta-data/iam/security-credentials/";
    service.answer(keys_path, Answer::text("my-role"));
    let of_machine = r#"{"Code": "Success", "AccessKeyId": "M", "SecretAccessKey": "m", "Token": "mt", "Expiration": "2100-01-01T00:00:00Z"}"#;
    service.answer(&format!("{keys_path}my-role"), json(of_machine));
}

#[tokio::test]
async fn keys_come_from_the_first_place_that_has_them() {
    let service = FakeTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    fill(&service, folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (config, credentials, token) = (path("config"), path("credentials"), path("token"));
    let files = [
        ("AWS_CONFIG_FILE", config.as_str()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
    ];
    let env_keys = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "env")];
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()), ("AWS_ROLE_ARN", "arn:web")];
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "URL/container"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
    ];
    let given = || AwsConfig {
        region: "eu-west-1".to_owned(),
        access_key: "CFG".to_owned(),
        secret_key: Secret::new("cfg"),
        ..AwsConfig::default()
    };
    let none = || AwsConfig { region: "eu-west-1".to_owned(), ..AwsConfig::default() };
    let profile = |name: &str| AwsConfig { profile: name.to_owned(), ..none() };
    let all = [&files[..], &env_keys, &web, &container].concat();
    for (cfg, env, expected) in [
        (given(), all.clone(), "CFG cfg"),
        (none(), all.clone(), "ENV env"),
        (profile("both"), all.clone(), "B b t"),
        (profile("env"), all.clone(), "ROLE role&secret session"),
        (none(), [&files[..], &web, &container].concat(), "ROLE role&secret session"),
        (none(), [&files[..], &container].concat(), "DEF def"),
        (none(), container.to_vec(), "C c ct"),
        (none(), Vec::new(), "M m mt"),
        (
            none(),
            vec![("AWS_EC2_METADATA_DISABLED", "true")],
            "error: no EC2 IMDS role found, and no other AWS credentials: access disabled to EC2 IMDS via AWS_EC2_METADATA_DISABLED",
        ),
        (
            none(),
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/")],
            "error: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, a loopback address or that of ECS or EKS",
        ),
        (profile("gone"), files.to_vec(), "error: failed to get shared config profile, gone"),
        (
            profile("loop"),
            files.to_vec(),
            "error: failed to load the AWS profile \"loop\": its source profiles run in a circle",
        ),
    ] {
        assert_eq!(found(&account(&service, cfg, &env)).await, expected);
    }
    let requests = service.requests();
    let of = |path: &str| requests.iter().rfind(|head| head.contains(path)).unwrap();
    assert!(of(" /container").contains("authorization: jwt\r\n"), "{}", of(" /container"));
    assert!(of("/latest/api/token").starts_with("PUT "), "{}", of("/latest/api/token"));
    assert!(of("my-role").contains("x-aws-ec2-metadata-token: v2\r\n"), "{}", of("my-role"));
    assert!(of("WebIdentityToken=jwt").contains("Action=AssumeRoleWithWebIdentity"));
}

#[tokio::test]
async fn profiles_may_name_a_program_or_a_sign_on() {
    let service = FakeTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    fill(&service, folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (config, home) = (path("config"), folder.path().display().to_string());
    let env = [
        ("AWS_CONFIG_FILE", config.as_str()),
        ("HOME", home.as_str()),
        ("AWS_ENDPOINT_URL_SSO", "URL/"),
    ];
    let expired = |name: &str| {
        format!(
            "error: failed to load the AWS profile {name:?}: the SSO session has expired or is invalid: sign on with \"aws sso login --profile {name}\""
        )
    };
    for (name, expected) in [
        ("process", "P p pt".to_owned()),
        (
            "failing",
            "error: process provider error: executable sh failed with exit status: 7: no session"
                .to_owned(),
        ),
        (
            "silent",
            "error: process provider error: parse failed of process output".to_owned(),
        ),
        ("signed", "S s st".to_owned()),
        ("legacy", expired("legacy")),
        ("never", expired("never")),
        (
            "lost",
            "error: failed to load the AWS profile \"lost\": the sso-session \"gone\" does not exist"
                .to_owned(),
        ),
        (
            "partly",
            "error: failed to load the AWS profile \"partly\": it has no sso_region".to_owned(),
        ),
    ] {
        let cfg = AwsConfig { profile: name.to_owned(), ..AwsConfig::default() };
        assert_eq!(found(&account(&service, cfg, &env)).await, expected);
    }
    let requests = service.requests();
    let asked = requests.iter().find(|head| head.contains("/federation/")).unwrap();
    let line = "GET /federation/credentials?account_id=123&role_name=a+reader ";
    assert!(asked.starts_with(line), "{asked}");
    assert!(asked.contains("x-amz-sso_bearer_token: sso-token\r\n"), "{asked}");
}

#[tokio::test]
async fn roles_are_assumed_once_and_refusals_are_told() {
    let service = FakeTarget::start().await;
    let cfg = || AwsConfig {
        access_key: "CFG".to_owned(),
        secret_key: Secret::new("hush"),
        role_arn: "arn:aws:iam::1:role/r".to_owned(),
        external_id: "ext".to_owned(),
        ..AwsConfig::default()
    };
    let env = [("AWS_DEFAULT_REGION", "eu-central-1")];
    let account = account(&service, cfg(), &env);
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not authorized</Message></Error></ErrorResponse>";
    let size = denied.len();
    let refused = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {size}\r\n\r\n{denied}");
    service.answer("/sts", Answer::Bytes(refused.into_bytes()));
    assert_eq!(
        found(&account).await,
        "error: operation error STS: AssumeRole, https response error StatusCode: 403, AccessDenied: User is not authorized"
    );
    service.answer("/sts", Answer::text("<html>"));
    assert_eq!(
        found(&account).await,
        "error: operation error STS: AssumeRole, the answer holds no keys"
    );
    service.answer("/sts", role_answer("ROLE"));
    for _ in 0..3 {
        assert_eq!(found(&account).await, "ROLE role&secret session");
    }
    let requests = service.requests();
    assert_eq!(requests.len(), 3, "the keys are kept");
    for part in [
        "Credential=CFG/",
        "/eu-central-1/sts/aws4_request",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr",
        "ExternalId=ext",
        "DurationSeconds=900",
    ] {
        assert!(requests[2].contains(part), "{part}: {}", requests[2]);
    }
    assert!(!format!("{account:?}").contains("hush"));
}

#[tokio::test]
async fn the_machine_tells_its_region_and_requests_are_signed() {
    let service = FakeTarget::start().await;
    service.answer("/latest/api/token", Answer::status("404 Not Found"));
    let identity = r#"{"accountId": "1", "region": "ap-south-2"}"#;
    service.answer("/latest/dynamic/instance-identity/document", json(identity));
    let cfg = AwsConfig {
        access_key: "CFG".to_owned(),
        secret_key: Secret::new("cfg"),
        ..AwsConfig::default()
    };
    let account = Arc::new(account(&service, cfg, &[]));
    let client = Client::signed(HttpClientConfig::default(), account, "aps", "Prometheus/3.5.0");
    service.answer("/x", Answer::text("good"));
    let timeout = Duration::from_secs(20);
    client.send(&Request::get(&service.url("/x?b=1"), timeout).unwrap()).await.unwrap();
    let asked = service.requests().pop().unwrap();
    assert!(asked.contains("Credential=CFG/") && asked.contains("/ap-south-2/aps/aws4_request"));
    assert!(asked.contains("SignedHeaders=host;x-amz-date"), "{asked}");
}

#[test]
fn regions_have_their_domains() {
    for (region, domain) in [
        ("eu-west-1", "amazonaws.com"),
        ("us-gov-east-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
    ] {
        assert_eq!(aws_domain(region), domain);
    }
}
