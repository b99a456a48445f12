//! Calls of one service in its dialect, and what its refusals mean. What is asked for is not known here.

use std::sync::Arc;

use prom_http_client::{AwsAccount, Client, aws_domain};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::Entry;
use crate::{
    TARGET_COUNT_MAX,
    polled::Means,
    rest::{
        AskError, Call, Reply, RestClient,
        json::read_value,
        rules::text,
        xml::{self, Element},
    },
};

/// Pages of one list; whoever has more runs in a circle.
const PAGE_COUNT_MAX: usize = 10_000;
/// Longer reasons are cut.
const REASON_CHARS_MAX: usize = 512;
const JSON_1_1: &str = "application/x-amz-json-1.1";
/// Elements that are lists, beside those whose name ends with `Set`.
const LISTS: [&str; 9] = [
    "CacheNodeIdsToRemove",
    "CacheNodes",
    "DBClusterMembers",
    "LogDeliveryConfigurations",
    "SecurityGroupIds",
    "SecurityGroups",
    "SubnetIds",
    "TagList",
    "availabilityZoneInfo",
];
/// Codes of refusals that mean: too often.
const THROTTLED: [&str; 5] = [
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// A service, as its API reference names it.
#[derive(Debug)]
pub(super) struct Service {
    /// In the original's errors.
    pub(super) name: &'static str,
    /// In addresses and signatures.
    pub(super) id: &'static str,
    /// Of the query dialect: the version; of the JSON dialect: what stands before an action.
    pub(super) version: &'static str,
}

/// Asks one service.
#[derive(Debug)]
pub(super) struct AwsClient {
    service: &'static Service,
    account: Arc<AwsAccount>,
    client: RestClient,
    /// Empty for that of the region.
    endpoint: String,
}

impl AwsClient {
    pub(super) fn new(service: &'static Service, entry: &Entry, means: &Means) -> Self {
        let account = &entry.account;
        let account = AwsAccount::new(account.clone(), &entry.http_client, means.user_agent);
        let endpoint = match entry.endpoint.as_str() {
            "" => means.endpoint("").to_owned(),
            own => own.to_owned(),
        };
        Self::of(service, Arc::new(account), endpoint, entry, means)
    }

    /// Asks another service in the name of the same account, at its own endpoint.
    pub(super) fn beside(&self, service: &'static Service, entry: &Entry, means: &Means) -> Self {
        let endpoint = means.endpoint("").to_owned();
        Self::of(service, Arc::clone(&self.account), endpoint, entry, means)
    }

    fn of(
        service: &'static Service,
        account: Arc<AwsAccount>,
        endpoint: String,
        entry: &Entry,
        means: &Means,
    ) -> Self {
        let http_client = entry.http_client.clone();
        let client =
            Client::signed(http_client, Arc::clone(&account), service.id, means.user_agent);
        let client = RestClient::of(client, entry.refresh_interval, means);
        Self { service, account, client, endpoint }
    }

    /// # Errors
    /// There is none.
    pub(super) async fn region(&self) -> Result<String, AskError> {
        let region = self.account.region().await;
        region.map_err(|cause| AskError::new(format!("could not determine AWS region: {cause}")))
    }

    async fn base(&self) -> Result<String, AskError> {
        if !self.endpoint.is_empty() {
            return Ok(self.endpoint.trim_end_matches('/').to_owned());
        }
        let region = self.region().await?;
        Ok(format!("https://{}.{region}.{}", self.service.id, aws_domain(&region)))
    }

    /// Hands the elements of a list to `each`, page after page, in the query dialect. `path` leads to them
    /// below the root of the answer; `marker` names the field of the answer and the parameter that continue
    /// it.
    pub(super) async fn query(
        &self,
        action: &str,
        parameters: &[(String, String)],
        path: &[&str],
        (marker_at, marker_name): (&str, &str),
        each: &mut (dyn FnMut(Value) -> Result<(), String> + Send),
    ) -> Result<(), AskError> {
        let url = format!("{}/", self.base().await?);
        let mut marker: Option<String> = None;
        let mut total_count = 0;
        for _ in 0..PAGE_COUNT_MAX {
            let form = self.form(action, parameters, marker.as_deref().map(|it| (marker_name, it)));
            let reply = self.client.exchange(&Call::post_form(&url, form)).await?;
            if reply.code != 200 {
                return Err(self.refused(action, &reply, &xml_reason(reply.body.as_slice())));
            }
            let mut take = |element: Element<'_>| {
                total_count += 1;
                if total_count > TARGET_COUNT_MAX {
                    return Err(format!("more than {TARGET_COUNT_MAX} elements"));
                }
                each(value_of(&element))
            };
            let root = xml::read_list(reply.body.as_slice(), path, &mut take)?;
            let root = value_of(&root);
            let next = Some(text(&root, marker_at).into_owned()).filter(|next| !next.is_empty());
            if next.is_some() && next == marker {
                return Err(AskError::new("the service names the same page again"));
            }
            marker = next;
            if marker.is_none() {
                return Ok(());
            }
        }
        Err(AskError::new(format!("more than {PAGE_COUNT_MAX} pages")))
    }

    fn form(
        &self,
        action: &str,
        parameters: &[(String, String)],
        marker: Option<(&str, &str)>,
    ) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", self.service.version);
        form.extend_pairs(parameters).extend_pairs(marker);
        form.finish()
    }

    /// One answer in the JSON dialect.
    pub(super) async fn json(&self, action: &str, body: &Value) -> Result<Value, AskError> {
        let target = format!("{}.{action}", self.service.version);
        let call = Call::post_json(&self.base().await?, "/", body)
            .with_header("content-type", JSON_1_1)
            .with_header("x-amz-target", target);
        self.value(action, &call).await
    }

    /// One answer of an API that is addressed by paths.
    pub(super) async fn get(&self, action: &str, path: &str) -> Result<Value, AskError> {
        self.value(action, &Call::get(&self.base().await?, path)).await
    }

    async fn value(&self, action: &str, call: &Call) -> Result<Value, AskError> {
        let reply = self.client.exchange(call).await?;
        match reply.code {
            200 => match read_value(reply.body.as_slice())? {
                value @ Value::Object(_) => Ok(value),
                _ => Err(AskError::new("invalid type: an object was expected")),
            },
            _ => Err(self.refused(action, &reply, &json_reason(reply.body.as_slice()))),
        }
    }

    /// Compat: `smithy.OperationError` of the AWS SDK for Go.
    fn refused(&self, action: &str, reply: &Reply, (kind, reason): &(String, String)) -> AskError {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let (service, code) = (self.service.name, reply.code);
        let mut text =
            format!("operation error {service}: {action}, https response error StatusCode: {code}");
        if !kind.is_empty() {
            text.push_str(&format!(", api error {kind}: {reason}"));
        }
        let mut error = AskError::new(text);
        error.status_code = Some(code);
        error.retry_after = reply.retry_after;
        error.is_throttled = matches!(code, 429 | 503) || THROTTLED.contains(&kind.as_str());
        error
    }
}

/// Where a list continues in the JSON dialects.
pub(super) fn next_token(answer: &Value, at: &str) -> Option<String> {
    answer.pointer(at).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
}

/// All pages of a list that `ask` gets for a token; the elements at `at`.
pub(super) async fn pages<F: Future<Output = Result<Value, AskError>>>(
    at: &str,
    token_at: &str,
    mut ask: impl FnMut(Option<String>) -> F,
) -> Result<Vec<Value>, AskError> {
    let (mut all, mut token): (Vec<Value>, Option<String>) = (Vec::new(), None);
    for _ in 0..PAGE_COUNT_MAX {
        let mut answer = ask(token.clone()).await?;
        if let Some(Value::Array(page)) = answer.pointer_mut(at) {
            all.append(page);
        }
        if all.len() > TARGET_COUNT_MAX {
            return Err(AskError::new(format!("more than {TARGET_COUNT_MAX} elements")));
        }
        let next = next_token(&answer, token_at);
        if next.is_some() && next == token {
            return Err(AskError::new("the service names the same page again"));
        }
        token = next;
        if token.is_none() {
            return Ok(all);
        }
    }
    Err(AskError::new(format!("more than {PAGE_COUNT_MAX} pages")))
}

/// An element as the JSON that the rules of labels read.
fn value_of(element: &Element<'_>) -> Value {
    if element.name.ends_with("Set") || LISTS.contains(&element.name.as_str()) {
        return element.children.iter().map(value_of).collect();
    }
    if element.children.is_empty() {
        return element.text.trim().into();
    }
    let children = element.children.iter().map(|child| (child.name.clone(), value_of(child)));
    Value::Object(children.collect::<Map<String, Value>>())
}

/// Code and message of a refusal.
fn xml_reason(body: &[u8]) -> (String, String) {
    let Ok(root) = xml::read_list(body, &[], &mut |_| Ok(())) else { return Default::default() };
    let error = root.child("Error").or_else(|| root.child("Errors")?.child("Error"));
    error.map(|it| (it.text_of("Code").into(), it.text_of("Message").into())).unwrap_or_default()
}

fn json_reason(body: &[u8]) -> (String, String) {
    let Ok(root) = read_value(body) else { return Default::default() };
    let of = |at: [&str; 2]| at.into_iter().find_map(|at| super::given(&root, at));
    let kind = of(["/__type", "/code"]).unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default().to_owned();
    let message = of(["/message", "/Message"]).unwrap_or_default();
    match kind.is_empty() && !message.is_empty() {
        true => ("UnknownError".to_owned(), message),
        false => (kind, message),
    }
}
