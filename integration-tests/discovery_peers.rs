//! The original beside ours, both asking fake services: what they find must be the same, label by label. A row for
//! each mechanism that can be told where to ask, or that goes through a proxy. Nothing is scraped. What Debian's build
//! of the original leaves out is asked by ours alone.

mod all_hosts;
mod fixed;

use std::collections::BTreeSet;

use prom_testkit::{Answer, FakeTarget};
use serde_json::Value;

use self::all_hosts::AllHosts;
use crate::harness::{NEWER_JOB_LABELS, Need, Peer, ServerBuilder, eventually, get, need};

/// A mechanism: its section, in which `URL` and `HOST` stand for the service and `FIXED` for the way to it from any
/// address, and what the service answers.
struct Row {
    job: &'static str,
    section: &'static str,
    /// In the installed build of the original.
    is_in_original: bool,
    answers: Vec<(&'static str, Vec<Answer>)>,
}

fn json(body: &str) -> Vec<Answer> {
    vec![Answer::body("application/json", &[], body.as_bytes())]
}

fn consul(body: &str) -> Vec<Answer> {
    vec![Answer::body("application/json", &["X-Consul-Index: 7"], body.as_bytes())]
}

/// An answer, and the version of the daemon's API that the original wants to see.
fn docker(body: &str) -> Vec<Answer> {
    vec![Answer::body("application/json", &["Api-Version: 1.44"], body.as_bytes())]
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../discovery/fixtures/", $name))
    };
}
use fixture;

fn rows() -> Vec<Row> {
    [registries(), inventories(), daemons(), clouds(), fixed::rows()]
        .into_iter()
        .flatten()
        .collect()
}

fn registries() -> Vec<Row> {
    vec![
        Row {
            job: "consul",
            is_in_original: false,
            section: "consul_sd_configs: [{server: 'HOST', refresh_interval: 1s, tag_separator: ';'}]",
            answers: vec![
                ("/v1/agent/self", json(r#"{"Config": {"Datacenter": "dc1"}}"#)),
                ("/v1/catalog/services", consul(r#"{"redis": ["a"]}"#)),
                ("/v1/health/service/redis", consul(fixture!("consul_service.json"))),
            ],
        },
        Row {
            job: "nomad",
            is_in_original: false,
            section: "nomad_sd_configs: [{server: 'URL', refresh_interval: 1s}]",
            answers: vec![
                (
                    "/v1/services",
                    json(
                        r#"[{"Namespace": "default", "Services": [{"ServiceName": "redis", "Tags": ["db"]}]}]"#,
                    ),
                ),
                ("/v1/service/redis", json(fixture!("nomad_service.json"))),
            ],
        },
        Row {
            job: "marathon",
            is_in_original: true,
            section: "marathon_sd_configs: [{servers: ['URL'], auth_token: t, refresh_interval: 1s}]",
            answers: vec![("/v2/apps/", json(fixture!("marathon_apps.json")))],
        },
        Row {
            job: "eureka",
            is_in_original: true,
            section: "eureka_sd_configs: [{server: 'URL/eureka', refresh_interval: 1s}]",
            answers: vec![(
                "/eureka/apps",
                vec![Answer::body("application/xml", &[], fixture!("eureka_apps.xml").as_bytes())],
            )],
        },
        Row {
            job: "kuma",
            is_in_original: false,
            section: "kuma_sd_configs: [{server: 'URL', client_id: me, refresh_interval: 1s}]",
            answers: vec![(
                "/v3/discovery:monitoringassignments",
                json(fixture!("kuma_assignments.json")),
            )],
        },
    ]
}

fn inventories() -> Vec<Row> {
    vec![
        Row {
            job: "puppetdb",
            is_in_original: true,
            section: "puppetdb_sd_configs: [{url: 'URL', query: 'vhosts', include_parameters: true, refresh_interval: 1s}]",
            answers: vec![("/pdb/query/v4", json(fixture!("puppetdb_resources.json")))],
        },
        Row {
            job: "uyuni",
            is_in_original: true,
            section: "uyuni_sd_configs: [{server: 'URL', username: u, password: p, refresh_interval: 1h}]",
            answers: vec![(
                "/rpc/api",
                [
                    fixture!("uyuni_login.xml"),
                    fixture!("uyuni_groups.xml"),
                    fixture!("uyuni_endpoints.xml"),
                    fixture!("uyuni_networks.xml"),
                ]
                .map(|body| Answer::body("text/xml", &[], body.as_bytes()))
                .to_vec(),
            )],
        },
    ]
}

fn daemons() -> Vec<Row> {
    let ping = || {
        let head =
            "HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n";
        vec![Answer::Bytes(head.as_bytes().to_vec())]
    };
    let daemon = |job, section, lists: &[(&'static str, &'static str, &str)]| {
        let mut answers = vec![("/_ping", ping())];
        for (ours, theirs, body) in lists {
            answers.extend([(*ours, docker(body)), (*theirs, docker(body))]);
        }
        Row { job, section, is_in_original: true, answers }
    };
    let swarm = |job, section| {
        let lists = [
            ("/nodes", "/v1.44/nodes", fixture!("swarm_nodes.json")),
            ("/services", "/v1.44/services", fixture!("swarm_services.json")),
            ("/tasks", "/v1.44/tasks", fixture!("swarm_tasks.json")),
            ("/networks", "/v1.44/networks", fixture!("swarm_networks.json")),
        ];
        daemon(job, section, &lists)
    };
    let docker_row = |job, section| {
        let lists = [
            ("/containers/json", "/v1.44/containers/json", fixture!("docker_containers.json")),
            ("/networks", "/v1.44/networks", fixture!("docker_networks.json")),
        ];
        daemon(job, section, &lists)
    };
    vec![
        docker_row("docker", "docker_sd_configs: [{host: 'URL', refresh_interval: 1s}]"),
        docker_row(
            "docker_all_networks",
            "docker_sd_configs: [{host: 'tcp://HOST', refresh_interval: 1s, match_first_network: false, host_networking_host: h}]",
        ),
        swarm(
            "swarm_nodes",
            "dockerswarm_sd_configs: [{host: 'URL', role: nodes, refresh_interval: 1s}]",
        ),
        swarm(
            "swarm_services",
            "dockerswarm_sd_configs: [{host: 'URL', role: services, refresh_interval: 1s}]",
        ),
        swarm(
            "swarm_tasks",
            "dockerswarm_sd_configs: [{host: 'URL', role: tasks, refresh_interval: 1s}]",
        ),
    ]
}

fn clouds() -> Vec<Row> {
    vec![
        Row {
            job: "scaleway",
            is_in_original: true,
            section: "scaleway_sd_configs: [{role: instance, project_id: 8feda53f-15f0-447f-badf-ccb2dad2e1c1, api_url: 'URL', \
                      access_key: SCW0123456789ABCDEFG, secret_key: 6d6579e5-a5b9-49fc-a35f-b4feb9b87301, refresh_interval: 1s}]",
            answers: vec![(
                "/instance/v1/zones/fr-par-1/servers",
                json(fixture!("scaleway_instances.json")),
            )],
        },
        Row {
            job: "scaleway_baremetal",
            is_in_original: true,
            section: "scaleway_sd_configs: [{role: baremetal, project_id: 8feda53f-15f0-447f-badf-ccb2dad2e1c1, api_url: 'URL', zone: fr-par-2, \
                      access_key: SCW0123456789ABCDEFG, secret_key: 6d6579e5-a5b9-49fc-a35f-b4feb9b87301, refresh_interval: 1s}]",
            answers: vec![
                (
                    "/baremetal/v1/zones/fr-par-2/offers",
                    json(r#"{"total_count": 1, "offers": [{"id": "o1", "name": "EM-A115X-SSD"}]}"#),
                ),
                (
                    "/baremetal/v1/zones/fr-par-2/os",
                    json(
                        r#"{"total_count": 1, "os": [{"id": "s1", "name": "Ubuntu", "version": "22.04 LTS"}]}"#,
                    ),
                ),
                ("/baremetal/v1/zones/fr-par-2/servers", json(fixture!("scaleway_baremetal.json"))),
            ],
        },
        Row {
            job: "ovhcloud",
            is_in_original: true,
            section: "ovhcloud_sd_configs: [{service: vps, endpoint: 'URL', application_key: a, application_secret: b, consumer_key: c, refresh_interval: 1s}]",
            answers: vec![
                ("/auth/time", json("1366560945")),
                ("/vps", json(r#"["abc", "gone"]"#)),
                ("/vps/abc", json(fixture!("ovhcloud_vps.json"))),
                ("/vps/abc/ips", json(r#"["192.0.2.1", "2001:db1::1"]"#)),
            ],
        },
        Row {
            job: "ovhcloud_dedicated",
            is_in_original: true,
            section: "ovhcloud_sd_configs: [{service: dedicated_server, endpoint: 'URL', application_key: a, application_secret: b, consumer_key: c, refresh_interval: 1s}]",
            answers: vec![
                ("/auth/time", json("1366560945")),
                ("/dedicated/server", json(r#"["abcde"]"#)),
                ("/dedicated/server/abcde", json(fixture!("ovhcloud_dedicated_server.json"))),
                ("/dedicated/server/abcde/ips", json(r#"["1.2.3.4/32", "2001:db8::/64"]"#)),
            ],
        },
    ]
}

/// A service for each row, and the configuration that asks all of them.
async fn services<'r>(
    rows: impl Iterator<Item = &'r Row>,
    all_hosts: &AllHosts,
) -> (Vec<FakeTarget>, String) {
    let mut services = Vec::new();
    let mut config = "scrape_configs:\n".to_owned();
    for row in rows {
        let service = FakeTarget::start().await;
        for (path, in_turn) in &row.answers {
            service.answer_in_turn(path, in_turn);
        }
        let mut section =
            row.section.replace("URL", &service.url("")).replace("HOST", &service.address());
        if section.contains("FIXED") {
            section = section.replace("FIXED", &all_hosts.keys_to(service.address()).await);
        }
        config += &format!(
            "- job_name: {}\n  {section}\n  relabel_configs: [{{action: drop, regex: '.*'}}]\n",
            row.job
        );
        services.push(service);
    }
    (services, config)
}

/// Labels that the installed original does not have yet, besides those of a job; the first one it still has where later
/// versions do not.
const NEWER: [&str; 7] = [
    "__meta_hetzner_datacenter",
    "__meta_hetzner_hcloud_location",
    "__meta_hetzner_hcloud_location_network_zone",
    "__meta_hetzner_robot_datacenter",
    "__meta_ec2_default_ipv6_address",
    "__meta_docker_container_image",
    "__meta_docker_container_image_id",
];

/// The discovered labels of all targets of a job.
fn found(address: &str, job: &str) -> BTreeSet<String> {
    let Ok(answer) = get(address, &format!("/api/v1/targets?scrapePool={job}")) else {
        return BTreeSet::new();
    };
    let answer = answer.json();
    let targets = answer["data"]["droppedTargets"].as_array().cloned().unwrap_or_default();
    let of_job = targets.iter().map(|target| &target["discoveredLabels"]);
    let of_job = of_job.filter(|labels| labels["job"] == job);
    let known = |labels: &Value| {
        let labels = labels.as_object().into_iter().flatten();
        let known = labels.filter(|(name, _)| {
            !NEWER.contains(&name.as_str()) && !NEWER_JOB_LABELS.contains(&name.as_str())
        });
        known.map(|(name, value)| format!("{name}={value} ")).collect()
    };
    of_job.map(known).collect()
}

#[test]
fn services_are_understood_as_by_the_original() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (rows, all_hosts) = (rows(), AllHosts::new(&fixed::HOSTS));
    let (_ours, config) = runtime.block_on(services(rows.iter(), &all_hosts));
    let server = ServerBuilder::new(&config).start();
    let theirs = rows.iter().filter(|row| row.is_in_original);
    let (_theirs, config) = runtime.block_on(services(theirs, &all_hosts));
    let data = tempfile::tempdir().unwrap();
    let peer = Peer::original_with(&original, &data.path().join("data"), &config, &[]);
    let mut differences = Vec::new();
    for row in &rows {
        let job = row.job;
        let ours = eventually(&format!("targets of our {job}"), || {
            Some(found(&server.address(), job)).filter(|found| !found.is_empty())
        });
        if row.is_in_original {
            let theirs = eventually(&format!("targets of the original's {job}"), || {
                Some(found(&peer.address, job)).filter(|found| !found.is_empty())
            });
            let only = |ours: &BTreeSet<String>, theirs: &BTreeSet<String>, whose: &str| {
                let only = ours.difference(theirs).map(|it| format!("{job}, {whose}: {it}"));
                only.collect::<Vec<_>>()
            };
            differences.extend(only(&ours, &theirs, "ours alone"));
            differences.extend(only(&theirs, &ours, "theirs alone"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
