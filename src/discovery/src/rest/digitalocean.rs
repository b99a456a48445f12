//! `digitalocean_sd_configs`: droplets and database clusters.
//! Compat: Prometheus `discovery/digitalocean`; <https://docs.digitalocean.com/reference/api>.

use std::borrow::Cow;

use prom_config::DigitalOceanSdConfig;
use serde_json::Value;

use super::{
    Address, Call, Found, Listing, Paging, Refusal, RestClient,
    Rule::{Code, Flags, Int, Joined, Text},
    Table, TableAsker,
    rules::{list, text},
};
use crate::polled::Means;

const ENDPOINT: &str = "https://api.digitalocean.com";

static DROPLETS: Table = Table {
    source: "DigitalOcean",
    listing: Listing {
        at: "/droplets",
        paging: Paging::Link { at: "/links/pages/next" },
        refusal: Refusal {
            text: "error while listing droplets: server returned HTTP status {status}",
            ..Refusal::plain("/message")
        },
    },
    prefix: "__meta_digitalocean_",
    labels: &[
        ("droplet_id", Int("/id")),
        ("droplet_name", Text("/name")),
        ("image", Text("/image/slug")),
        ("image_name", Text("/image/name")),
        ("private_ipv4", Code(|droplet| network(droplet, "/networks/v4", "private").into())),
        ("public_ipv4", Code(|droplet| network(droplet, "/networks/v4", "public").into())),
        ("public_ipv6", Code(|droplet| network(droplet, "/networks/v6", "public").into())),
        ("region", Text("/region/slug")),
        ("size", Text("/size_slug")),
        ("status", Text("/status")),
        ("vpc", Text("/vpc_uuid")),
        ("features", Joined("/features", ",")),
        ("tags", Joined("/tags", ",")),
    ],
    address: Address::Code(|droplet| match list(droplet, "/networks/v4") {
        [] => Found::NoTarget,
        _ => Found::Host(network(droplet, "/networks/v4", "public")),
    }),
};

static DATABASES: Table = Table {
    source: "DigitalOcean Databases",
    listing: Listing {
        at: "/databases",
        paging: Paging::UntilEmpty { parameter: "page" },
        refusal: Refusal {
            text: "error while listing database clusters: server returned HTTP status {status}",
            ..Refusal::plain("/message")
        },
    },
    prefix: "__meta_digitalocean_db_",
    labels: &[
        ("id", Text("/id")),
        ("name", Text("/name")),
        ("engine", Text("/engine")),
        ("version", Text("/version")),
        ("status", Text("/status")),
        ("region", Text("/region")),
        ("size", Text("/size")),
        ("num_nodes", Int("/num_nodes")),
        ("host", Text("/connection/host")),
        ("private_host", Text("/private_connection/host")),
        ("tag_", Flags("/tags")),
    ],
    address: Address::Code(|cluster| {
        let hosts = ["/private_connection/host", "/connection/host"].map(|at| text(cluster, at));
        let host = hosts.into_iter().find(|host| !host.is_empty());
        host.map_or(Found::NoHost, Found::Host)
    }),
};

pub(super) fn asker(cfg: &DigitalOceanSdConfig, means: &Means) -> TableAsker {
    let (table, path) = match cfg.role.as_str() {
        "databases" => (&DATABASES, "/v2/databases?page=1&per_page=100"),
        _ => (&DROPLETS, "/v2/droplets?per_page=200"),
    };
    TableAsker {
        table,
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        call: Call::get(means.endpoint(ENDPOINT), path),
        port: cfg.port,
    }
}

/// The first address of a kind.
fn network<'v>(droplet: &'v Value, at: &str, kind: &str) -> Cow<'v, str> {
    let network = list(droplet, at).iter().find(|network| text(network, "/type") == kind);
    network.map(|network| text(network, "/ip_address")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    #[tokio::test]
    async fn droplets_are_targets_on_all_pages() {
        let service = FakeTarget::start().await;
        let mut asker =
            asker_of(&service, "digitalocean_sd_configs: [{authorization: {credentials: t}}]");
        let next = service.url("/v2/droplets?page=2&per_page=200");
        service.answer("/v2/droplets", json(&r#"{
            "droplets": [{
                "id": 3164494, "name": "example.com", "memory": 1024, "vcpus": 1, "disk": 25, "locked": false, "status": "active",
                "features": ["backups", "private_networking", "ipv6"], "backup_ids": [],
                "image": {"id": 63663980, "name": "20.04 (LTS) x64", "distribution": "Ubuntu", "slug": "ubuntu-20-04-x64"},
                "size_slug": "s-1vcpu-1gb",
                "networks": {"v4": [
                    {"ip_address": "10.0.0.2", "netmask": "255.255.0.0", "gateway": "", "type": "private"},
                    {"ip_address": "104.236.32.182", "netmask": "255.255.192.0", "type": "public"},
                    {"ip_address": "104.236.32.183", "type": "public"}
                ], "v6": [{"ip_address": "2604:a880:0:1010::18a:a001", "netmask": 64, "type": "public"}]},
                "region": {"name": "New York 3", "slug": "nyc3"}, "tags": ["web", "env:prod"],
                "vpc_uuid": "760e09ef-dc84-11e8-981e-3cfdfeaae000"
            }, {"id": 1, "networks": {"v4": [], "v6": []}}, {"id": 2, "networks": null}],
            "links": {"pages": {"last": "NEXT", "next": "NEXT"}}, "meta": {"total": 4}
        }"#.replace("NEXT", &next)));
        service.answer("/v2/droplets?page=2&per_page=200", json(r#"{
            "droplets": [{"id": 4, "networks": {"v4": [{"ip_address": "10.0.0.9", "type": "private"}]}}],
            "links": {"pages": {"first": "x", "prev": "x"}}, "meta": {"total": 4}
        }"#));
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "DigitalOcean");
        assert_eq!(
            lines(&found, "__meta_digitalocean_"),
            [
                "__address__=104.236.32.182:80 droplet_id=3164494 droplet_name=example.com \
                 features=,backups,private_networking,ipv6, image=ubuntu-20-04-x64 image_name=20.04 (LTS) x64 \
                 private_ipv4=10.0.0.2 public_ipv4=104.236.32.182 public_ipv6=2604:a880:0:1010::18a:a001 \
                 region=nyc3 size=s-1vcpu-1gb status=active tags=,web,env:prod, vpc=760e09ef-dc84-11e8-981e-3cfdfeaae000",
                "__address__=:80 droplet_id=4 private_ipv4=10.0.0.9",
            ]
        );
    }

    #[tokio::test]
    async fn database_clusters_are_targets_until_a_page_is_empty() {
        let service = FakeTarget::start().await;
        let mut asker =
            asker_of(&service, "digitalocean_sd_configs: [{role: databases, port: 9273}]");
        service.answer_in_turn("/v2/databases", &[
            json(r#"{"databases": [
                {"id": "9cc10173", "name": "backend", "engine": "pg", "version": "16", "status": "online", "region": "nyc3",
                 "size": "db-s-2vcpu-4gb", "num_nodes": 2, "tags": ["production", "env:a"],
                 "connection": {"host": "backend.db.example", "port": 25060},
                 "private_connection": {"host": "private-backend.db.example", "port": 25060}},
                {"id": "2", "num_nodes": 1, "connection": {"host": "only-public.example"}, "tags": null},
                {"id": "3", "num_nodes": 1, "connection": null}
            ]}"#),
            json(r#"{"databases": []}"#),
        ]);
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "DigitalOcean Databases");
        assert_eq!(
            lines(&found, "__meta_digitalocean_db_"),
            [
                "__address__=private-backend.db.example:9273 engine=pg host=backend.db.example id=9cc10173 name=backend \
                 num_nodes=2 private_host=private-backend.db.example region=nyc3 size=db-s-2vcpu-4gb status=online \
                 tag_env:a=true tag_production=true version=16",
                "__address__=only-public.example:9273 host=only-public.example id=2 num_nodes=1",
                "id=3 num_nodes=1",
            ]
        );
        assert!(service.requests()[1].starts_with("GET /v2/databases?per_page=100&page=2 HTTP"));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        for (role, path) in [("droplets", "/v2/droplets"), ("databases", "/v2/databases")] {
            let service = FakeTarget::start().await;
            let sd = format!("digitalocean_sd_configs: [{{role: {role}, refresh_interval: 50ms}}]");
            let mut asker = asker_of(&service, &sd);
            survives(&service, &mut *asker, path).await;
            ends_a_hang(&service, &mut *asker.hasty, path).await;
        }
    }
}
