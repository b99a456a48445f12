//! `eureka_sd_configs`: instances of applications.
//! Compat: Prometheus `discovery/eureka`; <https://github.com/Netflix/eureka/wiki/Eureka-REST-operations>.

use futures_util::future::BoxFuture;
use prom_config::EurekaSdConfig;
use prom_model::{Labels, LabelsBuilder, quote_go};

use super::{
    AskError, Call, Refusal, RestAsker, RestClient, host_port, sanitized,
    xml::{Element, read_list},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

const PREFIX: &str = "__meta_eureka_app_instance_";
/// Of instances that name none.
const PORT: &str = "80";

const REFUSAL: Refusal = Refusal {
    text: "non 2xx status '{code}' response during eureka service discovery",
    ..Refusal::plain("")
};

/// Labels that are the text of an element.
static TEXTS: [(&str, &str); 9] = [
    ("hostname", "hostName"),
    ("homepage_url", "homePageUrl"),
    ("statuspage_url", "statusPageUrl"),
    ("healthcheck_url", "healthCheckUrl"),
    ("ip_addr", "ipAddr"),
    ("vip_address", "vipAddress"),
    ("secure_vip_address", "secureVipAddress"),
    ("status", "status"),
    ("id", "instanceId"),
];

#[derive(Debug)]
struct EurekaAsker {
    client: RestClient,
    call: Call,
}

pub(super) fn asker(cfg: &EurekaSdConfig, means: &Means) -> Box<dyn RestAsker> {
    Box::new(EurekaAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        call: Call::get(&cfg.server, "/apps").with_header("accept", "application/xml"),
    })
}

impl RestAsker for EurekaAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let answer = self.client.fetch(&self.call, &REFUSAL, None).await?;
            let mut targets = Vec::new();
            let read = read_list(answer.body.as_slice(), &["application"], &mut |app| {
                let instances = app.children.iter().filter(|child| child.name == "instance");
                for instance in instances {
                    targets.push(target(app.text_of("name"), instance)?);
                }
                Ok(())
            });
            read.map_err(|error| AskError::new(error).during(quote_go(&self.call.url)))?;
            Ok(vec![TargetGroup { source: "eureka".into(), targets, labels: Labels::empty() }])
        })
    }
}

fn target(app_name: &str, instance: &Element<'_>) -> Result<Labels, String> {
    let mut labels = LabelsBuilder::default();
    let mut set = |name: &str, value: &str| {
        labels.set(&format!("{PREFIX}{name}"), value);
    };
    for (name, element) in TEXTS {
        set(name, instance.text_of(element));
    }
    set("country_id", &number(instance.child("countryId"))?);
    for (name, element) in [("port", "port"), ("secure_port", "securePort")] {
        if let Some(port) = instance.child(element) {
            set(name, &number(Some(port))?);
            set(&format!("{name}_enabled"), flag(port.attribute("enabled")));
        }
    }
    let info = instance.child("dataCenterInfo");
    set("datacenterinfo_name", info.map_or("", |info| info.text_of("name")));
    let info = info.and_then(|info| info.child("metadata"));
    for (prefix, metadata) in
        [("datacenterinfo_metadata_", info), ("metadata_", instance.child("metadata"))]
    {
        for item in metadata.iter().flat_map(|metadata| &metadata.children) {
            set(&format!("{prefix}{}", sanitized(&item.name)), item.inner);
        }
    }
    let port = match instance.child("port") {
        Some(port) => number(Some(port))?,
        None => PORT.to_owned(),
    };
    labels.set(ADDRESS, &host_port(instance.text_of("hostName"), port));
    labels.set("instance", instance.text_of("instanceId"));
    labels.set("__meta_eureka_app_name", app_name);
    Ok(labels.build())
}

/// A whole number; 0 if there is none.
fn number(element: Option<&Element<'_>>) -> Result<String, String> {
    let text = element.map_or("", |element| element.text.trim());
    if text.is_empty() {
        return Ok("0".to_owned());
    }
    let number: Result<i64, _> = text.parse();
    let invalid = || format!("strconv.ParseInt: parsing {}: invalid syntax", quote_go(text));
    number.map(|number| number.to_string()).map_err(|_| invalid())
}

fn flag(text: &str) -> &'static str {
    if matches!(text.trim(), "true" | "1" | "t" | "T" | "TRUE" | "True") { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, lines};

    const PATH: &str = "/eureka/apps";
    const SD: &str = "eureka_sd_configs: [{server: 'URL/eureka', refresh_interval: 50ms}]";
    const APPS: &str = include_str!("../../fixtures/eureka_apps.xml");

    fn xml(body: &str) -> Answer {
        Answer::body("application/xml", &[], body.as_bytes())
    }

    #[tokio::test]
    async fn instances_are_targets() {
        let service = FakeTarget::start().await;
        service.answer(PATH, xml(APPS));
        let found = asker_of(&service, SD).ask().await.unwrap();
        assert_eq!(&*found[0].source, "eureka");
        assert_eq!(
            lines(&found, "__meta_eureka_"),
            [
                "__address__=config-service001.test.com:8080 app_instance_country_id=1 app_instance_datacenterinfo_metadata_instance_type=m1.xlarge \
                 app_instance_datacenterinfo_name=MyOwn app_instance_healthcheck_url=http://config-service001.test.com:8080/health \
                 app_instance_homepage_url=http://config-service001.test.com:8080/ app_instance_hostname=config-service001.test.com \
                 app_instance_id=config-service001.test.com:config-service:8080 app_instance_ip_addr=192.133.83.31 \
                 app_instance_metadata_instanceId=config-service001 app_instance_metadata_management_port=8090 app_instance_metadata_q=a &amp; b \
                 app_instance_port=8080 app_instance_port_enabled=true app_instance_secure_port=8443 app_instance_secure_port_enabled=false \
                 app_instance_secure_vip_address=secure app_instance_status=UP app_instance_statuspage_url=http://config-service001.test.com:8080/info \
                 app_instance_vip_address=config-service app_name=CONFIG-SERVICE instance=config-service001.test.com:config-service:8080",
                "__address__=bare:80 app_instance_country_id=0 app_instance_hostname=bare app_name=CONFIG-SERVICE",
            ]
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        for (body, expected) in [
            ("", "EOF"),
            ("<applications><application>", "EOF"),
            ("<applications></nope>", "XML syntax error"),
            (
                "<a><application><instance><port>x</port></instance></application></a>",
                "parsing \"x\"",
            ),
        ] {
            service.answer(PATH, xml(body));
            let error = asker.ask().await.unwrap_err().message;
            assert!(error.starts_with(&format!("\"{}\": ", service.url(PATH))), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        service.answer(PATH, Answer::status("503 Busy"));
        let text = "non 2xx status '503' response during eureka service discovery";
        assert_eq!(asker.ask().await.unwrap_err().message, text);
        ends_a_hang(&service, &mut *asker.hasty, PATH).await;
    }
}
