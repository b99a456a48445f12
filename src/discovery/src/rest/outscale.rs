//! `outscale_sd_configs`: virtual machines, by an API that takes Amazon's signatures.
//! Compat: Prometheus `discovery/outscale`; <https://docs.outscale.com/api.html#readvms>.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use prom_config::{OutscaleSdConfig, Secret};
use prom_http_client::{AwsAccount, AwsConfig, Client};
use prom_model::{Labels, LabelsBuilder};
use serde_json::{Value, json};

use super::{
    AskError, Call, LabelRule, Refusal, RestAsker, RestClient,
    Rule::{self, Text},
    host_port,
    rules::{list, sanitized, text},
};
use crate::{TARGET_COUNT_MAX, TargetGroup, group::ADDRESS, polled::Means};

/// Pages of one list; whoever has more runs in a circle.
const PAGE_COUNT_MAX: usize = 10_000;
/// Of the file with the key.
const SECRET_SIZE_BYTES_MAX: usize = 64 << 10;
const SERVICE: &str = "oapi";
const REFUSAL: Refusal =
    Refusal { text: "{status}", reason_at: "/Errors/0/Details", is_strict: true };

static LABELS: [LabelRule; 5] = [
    ("instance_id", Text("/VmId")),
    ("state", Text("/State")),
    ("subregion", Text("/Placement/SubregionName")),
    ("private_ip", Text("/PrivateIp")),
    ("public_ip", Text("/PublicIp")),
];

#[derive(Debug)]
struct OutscaleAsker {
    cfg: OutscaleSdConfig,
    endpoint: String,
    means: Means,
    /// With the key that it signs by.
    client: Option<(Secret, RestClient)>,
}

pub(super) fn asker(cfg: &OutscaleSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let fixed = format!("https://api.{}.outscale.com/api/v1", cfg.region);
    let endpoint = match cfg.endpoint.as_str() {
        "" => means.endpoint(&fixed).to_owned(),
        own => own.to_owned(),
    };
    Box::new(OutscaleAsker { cfg: cfg.clone(), endpoint, means: means.clone(), client: None })
}

impl OutscaleAsker {
    async fn targets(&mut self) -> Result<Vec<TargetGroup>, AskError> {
        let secret_key = self.secret_key().await?;
        let client = match self.client.take() {
            Some((key, client)) if key == secret_key => client,
            _ => self.signing_client(&secret_key),
        };
        let asked = self.machines(&client).await;
        self.client = Some((secret_key, client));
        let targets = asked.map_err(|error| error.during("outscale ReadVms"))?;
        let source = self.cfg.region.as_str().into();
        Ok(vec![TargetGroup { source, targets, labels: Labels::empty() }])
    }

    async fn machines(&self, client: &RestClient) -> Result<Vec<Labels>, AskError> {
        let (mut targets, mut body) = (Vec::new(), json!({}));
        for _ in 0..PAGE_COUNT_MAX {
            let call = Call::post_json(&self.endpoint, "/ReadVms", &body);
            let answer = client.value(&call, &REFUSAL).await?;
            if !answer.is_object() {
                return Err(AskError::new("invalid type: an object was expected"));
            }
            targets.extend(list(&answer, "/Vms").iter().filter_map(|vm| self.target(vm)));
            if targets.len() > TARGET_COUNT_MAX {
                return Err(AskError::new(format!("more than {TARGET_COUNT_MAX} elements")));
            }
            let next = text(&answer, "/NextPageToken");
            if next.is_empty() {
                return Ok(targets);
            }
            let next = json!({"NextPageToken": next});
            if next == body {
                return Err(AskError::new("the service names the same page again"));
            }
            body = next;
        }
        Err(AskError::new(format!("more than {PAGE_COUNT_MAX} pages")))
    }

    fn target(&self, vm: &Value) -> Option<Labels> {
        let ips = [text(vm, "/PrivateIp"), text(vm, "/PublicIp")];
        let ip = ips.iter().find(|ip| !ip.is_empty())?;
        let mut labels = LabelsBuilder::default();
        Rule::apply(&LABELS, "__meta_outscale_vm_", vm, &mut labels);
        labels.set(ADDRESS, &host_port(ip, self.cfg.port));
        labels.set("__meta_outscale_vm_region", &self.cfg.region);
        for tag in list(vm, "/Tags") {
            let name = format!("__meta_outscale_vm_tag_{}", sanitized(&text(tag, "/Key")));
            labels.set(&name, &text(tag, "/Value"));
        }
        Some(labels.build())
    }

    /// Read anew each time: somebody may have changed the file.
    async fn secret_key(&self) -> Result<Secret, AskError> {
        let path = &self.cfg.secret_key_file;
        if path.as_os_str().is_empty() {
            return Ok(self.cfg.secret_key.clone());
        }
        let text = self.means.files.read_text(path, SECRET_SIZE_BYTES_MAX).await;
        let text = text.map_err(|error| {
            let path = path.display();
            AskError::new(format!("unable to read outscale secret key file {path}: {error}"))
        })?;
        Ok(Secret::new(text.trim()))
    }

    fn signing_client(&self, secret_key: &Secret) -> RestClient {
        let account = AwsConfig {
            region: self.cfg.region.clone(),
            access_key: self.cfg.access_key.clone(),
            secret_key: secret_key.clone(),
            ..AwsConfig::default()
        };
        let (http_client, user_agent) = (&self.cfg.http_client, self.means.user_agent);
        let account = Arc::new(AwsAccount::new(account, http_client, user_agent));
        let client = Client::signed(http_client.clone(), account, SERVICE, user_agent);
        RestClient::of(client, self.cfg.refresh_interval, &self.means)
    }
}

impl RestAsker for OutscaleAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(self.targets())
    }
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const PATH: &str = "/api/v1/ReadVms";

    #[tokio::test]
    async fn machines_are_targets_on_all_pages() {
        let service = FakeTarget::start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let path = file.display();
        let sd = format!(
            "outscale_sd_configs: [{{endpoint: 'URL/api/v1', access_key: AK, secret_key_file: '{path}', port: 9100}}]"
        );
        let mut asker = asker_of(&service, &sd);
        let missing = asker.ask().await.unwrap_err().message;
        let expected = format!("unable to read outscale secret key file {path}: ");
        assert!(missing.starts_with(&expected), "{missing}");
        std::fs::write(&file, "SK\n").unwrap();
        let first = r#"{"Vms": [{"VmId": "i-1", "State": "running", "PrivateIp": "10.0.0.1", "PublicIp": "192.0.2.1",
            "Placement": {"SubregionName": "eu-west-2a", "Tenancy": "default"}, "Tags": [{"Key": "team a", "Value": "b"}]},
            {"VmId": "no address"}], "NextPageToken": "more", "ResponseContext": {"RequestId": "r"}}"#;
        let last = r#"{"Vms": [{"VmId": "i-2", "PublicIp": "192.0.2.2"}]}"#;
        service.answer_in_turn(PATH, &[json(first), json(last)]);
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "eu-west-2");
        assert_eq!(
            lines(&found, "__meta_outscale_vm_"),
            [
                "__address__=10.0.0.1:9100 instance_id=i-1 private_ip=10.0.0.1 public_ip=192.0.2.1 region=eu-west-2 \
                 state=running subregion=eu-west-2a tag_team_a=b",
                "__address__=192.0.2.2:9100 instance_id=i-2 public_ip=192.0.2.2 region=eu-west-2",
            ]
        );
        let requests = service.requests();
        assert!(
            requests[0].contains("Credential=AK/")
                && requests[0].contains("/eu-west-2/oapi/aws4_request")
        );
        assert!(requests[0].ends_with("\r\n\r\n{}"));
        assert!(requests[1].ends_with(r#"{"NextPageToken":"more"}"#));
        survives(&service, &mut *asker, PATH).await;
        let reason = r#"{"Errors": [{"Type": "AccessDenied", "Details": "The caller is not authorized.", "Code": "4120"}]}"#;
        let size = reason.len();
        let refused =
            format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {size}\r\n\r\n{reason}");
        service.answer(PATH, Answer::Bytes(refused.into_bytes()));
        assert_eq!(
            asker.ask().await.unwrap_err().message,
            "outscale ReadVms: 401 Unauthorized: The caller is not authorized."
        );
        let mut hasty = asker_of(&service, &sd.replace("9100", "1, refresh_interval: 50ms"));
        ends_a_hang(&service, &mut *hasty.hasty, PATH).await;
    }
}
