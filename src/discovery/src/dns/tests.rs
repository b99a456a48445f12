//! Lookups against a name server of the test's own.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use hickory_resolver::{
    config::NameServerConfig,
    proto::{
        op::{Message, OpCode},
        rr::{
            Record,
            rdata::{A, AAAA, CNAME, MX, NS, SRV},
        },
    },
};
use prom_config::{DiscoveryConfig, LoadOptions, Sources, load_with};
use tokio::net::UdpSocket;

use super::*;

/// What the server says of a name; `None` is silence.
type Zone = fn(&str, RecordType) -> Option<(ResponseCode, Vec<RData>)>;

fn zone(name: &str, record_type: RecordType) -> Option<(ResponseCode, Vec<RData>)> {
    let rooted = |name: &str| Name::from_ascii(name).unwrap();
    let good = |records| Some((ResponseCode::NoError, records));
    match (name, record_type) {
        ("_x._tcp.srv.test.", RecordType::SRV) => good(vec![
            RData::SRV(SRV::new(1, 1, 9100, rooted("a.test."))),
            RData::SRV(SRV::new(1, 1, 80, rooted("b.test."))),
        ]),
        ("host.test.", RecordType::A) => good(vec![
            RData::CNAME(CNAME(rooted("other.test."))),
            RData::A(A(Ipv4Addr::new(10, 0, 0, 1))),
        ]),
        ("host.test.", RecordType::AAAA) => {
            good(vec![RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1))])
        }
        ("host.test.", RecordType::MX) => good(vec![RData::MX(MX::new(1, rooted("mail.test.")))]),
        ("host.test.", RecordType::NS) => good(vec![RData::NS(NS(rooted("ns.test.")))]),
        ("short.found.test.", RecordType::A) => good(vec![RData::A(A(Ipv4Addr::new(10, 0, 0, 2)))]),
        ("empty.test.", _) => good(Vec::new()),
        ("broken.test.", _) => Some((ResponseCode::ServFail, Vec::new())),
        ("silent.test.", _) => None,
        _ => Some((ResponseCode::NXDomain, Vec::new())),
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervisor")]
async fn serve(zone: Zone) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..size]).unwrap();
            let query = asked.queries[0].clone();
            let name = query.name().to_ascii().to_lowercase();
            let Some((code, records)) = zone(&name, query.query_type()) else { continue };
            let mut answer = Message::response(asked.metadata.id, OpCode::Query);
            answer.metadata.response_code = code;
            let mut owner = query.name().clone();
            for data in records {
                let next = match &data {
                    RData::CNAME(name) => name.0.clone(),
                    _ => owner.clone(),
                };
                answer.add_answer(Record::from_rdata(owner, 1, data));
                owner = next;
            }
            answer.add_query(query);
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    port
}

async fn asker(keys: &str) -> DnsAsker {
    let text = format!("scrape_configs: [{{job_name: a, dns_sd_configs: [{{{keys}}}]}}]");
    let path = Path::new("/p/p.yml");
    let mut sources = Sources::with_text(path, text.as_bytes());
    let cfg = load_with(path, &mut sources, &LoadOptions::CHECK).unwrap();
    let DiscoveryConfig::Dns(cfg) = &cfg.scrape_configs[0].discovery_configs[0] else {
        panic!("{text}")
    };
    let mut asker = DnsAsker::new(cfg, &Means::new("Prometheus/3.5.0", &Registry::default()));
    let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
    server.connections[0].port = serve(zone).await;
    let mut config = ResolverConfig::default();
    config.name_servers = vec![server];
    config.search =
        vec![Name::from_ascii("missing.test.").unwrap(), Name::from_ascii("found.test.").unwrap()];
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_millis(200);
    options.attempts = 1;
    asker.servers = Servers::These(Box::new((config, options)));
    asker
}

async fn check(keys: &str, expected: &[&[(&str, &str)]]) {
    let groups = asker(keys).await.ask().await.unwrap();
    let found: Vec<Labels> = groups.into_iter().flat_map(|group| group.targets).collect();
    let expected: Vec<Labels> =
        expected.iter().map(|labels| Labels::from_pairs(labels.iter().copied())).collect();
    assert_eq!(found, expected, "{keys}");
}

#[tokio::test]
async fn records_of_all_kinds_become_targets() {
    let srv = |address, target, port| {
        [
            (ADDRESS, address),
            (NAME_LABEL, "_x._tcp.srv.test"),
            (SRV_TARGET_LABEL, target),
            (SRV_PORT_LABEL, port),
        ]
    };
    let (a, b) = (srv("a.test:9100", "a.test.", "9100"), srv("b.test:80", "b.test.", "80"));
    check("names: [_x._tcp.srv.test]", &[&a, &b]).await;
    let name = (NAME_LABEL, "host.test.");
    for (record_type, address, more) in [
        ("A", "10.0.0.1:9", None),
        ("aaaa", "[fd00::1]:9", None),
        ("MX", "mail.test:9", Some((MX_TARGET_LABEL, "mail.test."))),
        ("NS", "ns.test:9", Some((NS_TARGET_LABEL, "ns.test."))),
    ] {
        let keys = format!("names: [host.test.], type: {record_type}, port: 9");
        let labels: Vec<_> = [(ADDRESS, address), name].into_iter().chain(more).collect();
        check(&keys, &[&labels]).await;
    }
}

#[tokio::test]
async fn the_search_list_is_tried_and_silence_is_no_answer() {
    let found = [(ADDRESS, "10.0.0.2:9"), (NAME_LABEL, "short")];
    check("names: [short], type: A, port: 9", &[&found]).await;
    check("names: [nowhere], type: A, port: 9", &[]).await;
    check("names: [empty.test.], type: A, port: 9", &[]).await;

    let keys = "names: [host.test., broken.test., silent.test., nowhere.test.], type: A, port: 9";
    let mut asker = asker(keys).await;
    let address = |groups: Vec<TargetGroup>| {
        let targets: Vec<_> = groups.into_iter().flat_map(|group| group.targets).collect();
        targets[0].get(ADDRESS).unwrap().to_owned()
    };
    assert_eq!(address(asker.ask().await.unwrap()), "10.0.0.1:9");
    assert_eq!((asker.metrics.lookups.get(), asker.metrics.failures.get()), (4.0, 2.0));
    // A server that breaks later costs nothing that was found.
    let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
    server.connections[0].port = serve(|_, _| Some((ResponseCode::ServFail, Vec::new()))).await;
    let mut config = ResolverConfig::default();
    config.name_servers = vec![server];
    asker.servers = Servers::These(Box::new((config, ResolverOpts::default())));
    assert_eq!(address(asker.ask().await.unwrap()), "10.0.0.1:9");
    assert_eq!(asker.metrics.failures.get(), 6.0);
}
