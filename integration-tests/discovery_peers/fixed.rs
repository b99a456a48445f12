//! Clouds whose address is part of the program.

use prom_testkit::Answer;

use super::{Row, fixture, json};

/// Where they are asked.
pub(super) const HOSTS: [&str; 6] = [
    "api.digitalocean.com",
    "api.hetzner.cloud",
    "robot-ws.your-server.de",
    "api.linode.com",
    "api.vultr.com",
    "api.ionos.com",
];

pub(super) fn rows() -> Vec<Row> {
    let row = |job, section, answers| Row { job, section, is_in_original: true, answers };
    let xml = |body: &str| Answer::body("text/xml", &[], body.as_bytes());
    vec![
        row(
            "digitalocean",
            "digitalocean_sd_configs: [{authorization: {credentials: t}, FIXED, refresh_interval: 1s}]",
            vec![("/v2/droplets", json(fixture!("digitalocean_droplets.json")))],
        ),
        row(
            "hetzner_cloud",
            "hetzner_sd_configs: [{role: hcloud, authorization: {credentials: t}, FIXED, refresh_interval: 1s}]",
            vec![
                ("/v1/servers", json(fixture!("hetzner_servers.json"))),
                ("/v1/networks", json(fixture!("hetzner_networks.json"))),
            ],
        ),
        row(
            "hetzner_robot",
            "hetzner_sd_configs: [{role: robot, basic_auth: {username: u, password: p}, FIXED, refresh_interval: 1s}]",
            vec![("/server", json(fixture!("hetzner_robot.json")))],
        ),
        row(
            "linode",
            "linode_sd_configs: [{authorization: {credentials: t}, region: us-east, tag_separator: '|', FIXED, refresh_interval: 1s}]",
            vec![
                ("/v4/linode/instances", json(fixture!("linode_instances.json"))),
                ("/v4/networking/ips", json(fixture!("linode_ips.json"))),
                ("/v4/networking/ipv6/ranges", json(fixture!("linode_ranges.json"))),
                ("/v4/account/events", json(fixture!("linode_events.json"))),
            ],
        ),
        row(
            "vultr",
            "vultr_sd_configs: [{authorization: {credentials: t}, port: 9100, FIXED, refresh_interval: 1s}]",
            vec![("/v2/instances", json(fixture!("vultr_instances.json")))],
        ),
        row(
            "ionos",
            "ionos_sd_configs: [{datacenter_id: 8feda53f, basic_auth: {username: u, password: p}, FIXED, refresh_interval: 1s}]",
            vec![(
                "/cloudapi/v6/datacenters/8feda53f/servers",
                json(fixture!("ionos_servers.json")),
            )],
        ),
        // This one can be told where to ask. Zones come first, once.
        row(
            "ec2",
            "ec2_sd_configs: [{region: eu-west-1, endpoint: 'URL', access_key: AK, secret_key: SK, port: 9100, refresh_interval: 1h}]",
            vec![("/", vec![xml(fixture!("ec2_zones.xml")), xml(fixture!("ec2_instances.xml"))])],
        ),
    ]
}
