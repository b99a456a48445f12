//! The admin API as clients see it: the switch, parameters, errors, and what reaches the store.

use std::sync::{Arc, Mutex};

use http::Method;
use prom_model::Matcher;
use prom_storage::{StorageError, TimeRange};

use crate::{TsdbAdmin, testing::Site};

/// Remembers what it was asked for; fails if it is told to.
#[derive(Debug, Default)]
struct Remembering {
    asked: Mutex<Vec<String>>,
    is_broken: bool,
}

impl Remembering {
    fn note(&self, text: String) -> Result<(), StorageError> {
        self.asked.lock().unwrap().push(text);
        match self.is_broken {
            true => Err(StorageError::Suspended("broken".to_owned())),
            false => Ok(()),
        }
    }
}

impl TsdbAdmin for Remembering {
    fn delete(&self, range: TimeRange, sets: &[Vec<Matcher>]) -> Result<(), StorageError> {
        let matchers: Vec<_> = sets.concat().iter().map(Matcher::to_string).collect();
        let (mint, maxt) = (range.mint_ms, range.maxt_ms);
        let is_ever = mint < -8_000_000_000_000_000 && maxt > 8_000_000_000_000_000;
        let times = if is_ever { "ever".to_owned() } else { format!("{mint} {maxt}") };
        self.note(format!("delete {times} {}", matchers.join(",")))
    }

    fn clean_tombstones(&self) -> Result<(), StorageError> {
        self.note("clean".to_owned())
    }

    fn snapshot(&self, with_head: bool) -> Result<String, StorageError> {
        self.note(format!("snapshot {with_head}")).map(|()| "20261122T203117Z-27bf".to_owned())
    }
}

async fn check(path: &str, status: u16, body: &str, asked: &[&str]) {
    for method in [Method::POST, Method::PUT] {
        let admin = Arc::new(Remembering::default());
        let site = Site::with_tsdb_admin(Arc::clone(&admin) as _);
        let answer = site.ask(method, &format!("/api/v1/admin/tsdb/{path}"), &[], "").await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (status, body), "{path}");
        assert_eq!(*admin.asked.lock().unwrap(), asked, "{path}");
    }
}

fn error(kind: &str, text: &str) -> String {
    format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#)
}

#[tokio::test]
async fn requests_reach_the_store_or_are_refused_by_name() {
    let bad = |text: &str| error("bad_data", text);
    check("delete_series", 400, &bad("no match[] parameter provided"), &[]).await;
    check("delete_series?match[]=a", 204, "", &["delete ever __name__=\"a\""]).await;
    check(
        "delete_series?match[]=a&match[]=%7Bb=~%22c%22%7D&start=1.5&end=20",
        204,
        "",
        &["delete 1500 20000 __name__=\"a\",b=~\"c\""],
    )
    .await;
    let unclosed =
        r#"invalid parameter \"match[]\": 1:3: parse error: unexpected end of input inside braces"#;
    check("delete_series?match[]=b&match[]=a%7B", 400, &bad(unclosed), &[]).await;
    let time = r#"invalid parameter \"end\": invalid time value for 'end': cannot parse \"x\" to a valid timestamp"#;
    check("delete_series?match[]=a&end=x", 400, &bad(time), &[]).await;
    check("clean_tombstones", 204, "", &["clean"]).await;
    let name = r#"{"status":"success","data":{"name":"20261122T203117Z-27bf"}}"#;
    check("snapshot", 200, name, &["snapshot true"]).await;
    check("snapshot?skip_head=true", 200, name, &["snapshot false"]).await;
    check("snapshot?skip_head=0", 200, name, &["snapshot true"]).await;
    let boolean = r#"invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \"x\": invalid syntax"#;
    check("snapshot?skip_head=x", 400, &bad(boolean), &[]).await;
}

#[tokio::test]
async fn failures_and_the_switch_are_told() {
    let admin = Arc::new(Remembering { is_broken: true, ..Remembering::default() });
    let site = Site::with_tsdb_admin(admin);
    for (path, text) in [
        ("delete_series?match[]=a", "storage does not take samples: broken"),
        ("clean_tombstones", "storage does not take samples: broken"),
        ("snapshot", "create snapshot: storage does not take samples: broken"),
    ] {
        let path = format!("/api/v1/admin/tsdb/{path}");
        let answer = site.ask(Method::POST, &path, &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.body), (500, error("internal", text)));
        let elsewhere = [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
        let answer = site.ask(Method::POST, &path, &elsewhere, "").await;
        assert_eq!(answer.status, 403);
        let disabled = Site::new().ask(Method::POST, &path, &[], "").await;
        let expected = error("unavailable", "admin APIs disabled");
        assert_eq!((disabled.status.as_u16(), disabled.body), (500, expected));
    }
}
