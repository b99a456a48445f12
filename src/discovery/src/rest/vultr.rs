//! `vultr_sd_configs`: instances.
//! Compat: Prometheus `discovery/vultr/vultr.go`; <https://www.vultr.com/api/#operation/list-instances>.

use prom_config::VultrSdConfig;

use super::{
    Address, Call, Listing, Paging, Refusal, RestClient,
    Rule::{Int, Joined, Text},
    Table, TableAsker,
};
use crate::polled::Means;

const ENDPOINT: &str = "https://api.vultr.com";
const PATH: &str = "/v2/instances?per_page=100";

static INSTANCES: Table = Table {
    source: "Vultr",
    listing: Listing {
        at: "/instances",
        paging: Paging::Cursor { at: "/meta/links/next", parameter: "cursor" },
        refusal: Refusal::plain("/error"),
    },
    prefix: "__meta_vultr_instance_",
    labels: &[
        ("id", Text("/id")),
        ("label", Text("/label")),
        ("os", Text("/os")),
        ("os_id", Int("/os_id")),
        ("region", Text("/region")),
        ("plan", Text("/plan")),
        ("vcpu_count", Int("/vcpu_count")),
        ("ram_mb", Int("/ram")),
        ("allowed_bandwidth_gb", Int("/allowed_bandwidth")),
        ("disk_gb", Int("/disk")),
        ("main_ip", Text("/main_ip")),
        ("main_ipv6", Text("/v6_main_ip")),
        ("internal_ip", Text("/internal_ip")),
        ("hostname", Text("/hostname")),
        ("server_status", Text("/server_status")),
        ("features", Joined("/features", ",")),
        ("tags", Joined("/tags", ",")),
    ],
    address: Address::Host("/main_ip"),
};

pub(super) fn asker(cfg: &VultrSdConfig, means: &Means) -> TableAsker {
    TableAsker {
        table: &INSTANCES,
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        call: Call::get(means.endpoint(ENDPOINT), PATH),
        port: cfg.port,
    }
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const PATH: &str = "/v2/instances";

    const FIRST: &str = r#"{
        "instances": [{
            "id": "4f0f12e5-1f84-404f-aa84-85f431ea5ec2", "os": "CentOS 8 Stream", "ram": 1024, "disk": 25,
            "main_ip": "192.0.2.10", "vcpu_count": 1, "region": "ewr", "plan": "vc2-1c-1gb",
            "date_created": "2020-10-10T01:56:20+00:00", "status": "active", "allowed_bandwidth": 1000,
            "netmask_v4": "255.255.252.0", "gateway_v4": "192.0.2.1", "power_status": "running",
            "server_status": "ok", "v6_network": "2001:db8::", "v6_main_ip": "2001:db8::10",
            "v6_network_size": 64, "label": "Example Instance", "internal_ip": "", "kvm": "https://x",
            "hostname": "my_hostname", "os_id": 401, "app_id": 0, "image_id": "", "firewall_group_id": "",
            "features": ["ipv6", "auto_backups"], "tags": ["a tag", "b"]
        }],
        "meta": {"total": 2, "links": {"next": "bmV4dA==", "prev": ""}}
    }"#;
    const LAST: &str = r#"{"instances": [{"id": "2", "features": [], "tags": null}], "meta": {"total": 2, "links": {"next": "", "prev": "x"}}}"#;

    #[tokio::test]
    async fn instances_are_targets_on_all_pages() {
        let service = FakeTarget::start().await;
        let sd = "vultr_sd_configs: [{authorization: {credentials: abc}, port: 9100}]";
        let mut asker = asker_of(&service, sd);
        service.answer_in_turn(PATH, &[json(FIRST), json(LAST)]);
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "Vultr");
        assert_eq!(
            lines(&found, "__meta_vultr_instance_"),
            [
                "__address__=192.0.2.10:9100 allowed_bandwidth_gb=1000 disk_gb=25 features=,ipv6,auto_backups, \
                 hostname=my_hostname id=4f0f12e5-1f84-404f-aa84-85f431ea5ec2 label=Example Instance \
                 main_ip=192.0.2.10 main_ipv6=2001:db8::10 os=CentOS 8 Stream os_id=401 plan=vc2-1c-1gb \
                 ram_mb=1024 region=ewr server_status=ok tags=,a tag,b, vcpu_count=1",
                "__address__=:9100 allowed_bandwidth_gb=0 disk_gb=0 id=2 os_id=0 ram_mb=0 vcpu_count=0",
            ]
        );
        let requests = service.requests();
        assert!(
            requests[0].starts_with("GET /v2/instances?per_page=100 HTTP/1.1"),
            "{}",
            requests[0]
        );
        assert!(requests[0].to_lowercase().contains("authorization: bearer abc"));
        assert!(
            requests[1].starts_with("GET /v2/instances?per_page=100&cursor=bmV4dA%3D%3D HTTP/1.1")
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, "vultr_sd_configs: [{refresh_interval: 50ms}]");
        survives(&service, &mut *asker, PATH).await;
        ends_a_hang(&service, &mut *asker.hasty, PATH).await;
        let reason = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 41\r\n\r\n{\"error\":\"Invalid API token.\",\"status\":4}";
        service.answer(PATH, Answer::Bytes(reason.to_vec()));
        let error = asker.ask().await.unwrap_err();
        assert_eq!(
            error.message,
            "server returned HTTP status 401 Unauthorized: Invalid API token."
        );
    }
}
