//! The three roles of OpenStack, and who asks.

use prom_testkit::{Answer, FakeTarget};

use crate::rest::tests::{asker_in, asker_of, ends_a_hang, json, lines, survives};

const WHO: &str = "identity_endpoint: 'URL/identity/v3', username: u, password: p, domain_name: Default, project_name: demo, region: R1, port: 9100";

fn catalog(service: &FakeTarget) -> Answer {
    let entry = |kind: &str| {
        let url = service.url(&format!("/{kind}"));
        format!(
            r#"{{"type": "{kind}", "name": "n", "endpoints": [{{"interface": "admin", "region": "R1", "url": "http://192.0.2.1/"}},
            {{"interface": "public", "region_id": "other", "url": "http://192.0.2.1/"}}, {{"interface": "public", "region_id": "R1", "url": "{url}"}}]}}"#
        )
    };
    let kinds = ["compute", "network", "load-balancer"].map(entry).join(",");
    let body =
        format!(r#"{{"token": {{"expires_at": "2100-01-01T00:00:00Z", "catalog": [{kinds}]}}}}"#);
    Answer::body("application/json", &["X-Subject-Token: tok"], body.as_bytes())
}

#[tokio::test]
async fn instances_are_targets_by_each_of_their_addresses() {
    let service = FakeTarget::start().await;
    let sd = format!("openstack_sd_configs: [{{{WHO}, role: instance, all_tenants: true}}]");
    let mut asker = asker_of(&service, &sd);
    service.answer("/identity/v3/auth/tokens", catalog(&service));
    let next = service.url("/network/v2.0/ports?marker=1");
    service.answer("/network/v2.0/ports", json(&format!(r#"{{"ports": [{{"id": "p0", "device_id": "d0"}}], "ports_links": [{{"rel": "previous", "href": "x"}}, {{"rel": "next", "href": "{next}"}}]}}"#)));
    service.answer(
        "/network/v2.0/ports?marker=1",
        json(r#"{"ports": [{"id": "p1", "device_id": "s1"}]}"#),
    );
    service.answer(
        "/network/v2.0/floatingips",
        json(
            r#"{"floatingips": [
        {"port_id": "p1", "fixed_ip_address": "10.0.0.5", "floating_ip_address": "192.0.2.5"},
        {"port_id": null, "fixed_ip_address": null, "floating_ip_address": "192.0.2.6"}]}"#,
        ),
    );
    let servers = r#"{"servers": [{"id": "s1", "name": "web", "status": "ACTIVE", "tenant_id": "t", "user_id": "u", "image": {"id": "img"},
        "flavor": {"id": "1", "original_name": "m1.small"}, "metadata": {"env-a": "prod"},
        "addresses": {"private": [{"addr": "10.0.0.5", "version": 4}, {"addr": "192.0.2.5", "OS-EXT-IPS:type": "floating"}, {"addr": "fd00::5"}]}},
        {"id": "s2", "flavor": {"id": "2"}, "image": "", "addresses": {}}]}"#;
    service.answer("/compute/servers/detail", json(servers));
    let found = asker.ask().await.unwrap();
    assert_eq!(&*found[0].source, "OS_R1");
    let common = "instance_flavor=m1.small instance_id=s1 instance_image=img instance_name=web instance_status=ACTIVE";
    assert_eq!(
        lines(&found, "__meta_openstack_"),
        [
            format!(
                "__address__=10.0.0.5:9100 address_pool=private {common} private_ip=10.0.0.5 project_id=t public_ip=192.0.2.5 tag_env_a=prod user_id=u"
            ),
            format!(
                "__address__=[fd00::5]:9100 address_pool=private {common} private_ip=fd00::5 project_id=t tag_env_a=prod user_id=u"
            ),
        ]
    );
    let requests = service.requests();
    let asked: serde_json::Value =
        serde_json::from_str(requests[0].split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        asked.to_string(),
        r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"Default"},"name":"u","password":"p"}}},"scope":{"project":{"domain":{"name":"Default"},"name":"demo"}}}}"#
    );
    let servers = requests.last().unwrap();
    assert!(servers.starts_with("GET /compute/servers/detail?all_tenants=true HTTP"), "{servers}");
    assert!(servers.to_lowercase().contains("x-auth-token: tok\r\n"), "{servers}");
    survives(&service, &mut *asker, "/compute/servers/detail").await;
    survives(&service, &mut *asker, "/identity/v3/auth/tokens").await;
    let mut hasty = asker_of(&service, &sd.replace("9100", "1, refresh_interval: 50ms"));
    ends_a_hang(&service, &mut *hasty.hasty, "/identity/v3/auth/tokens").await;
}

#[tokio::test]
async fn hypervisors_and_load_balancers_are_targets() {
    let service = FakeTarget::start().await;
    let sd = |role: &str| format!("openstack_sd_configs: [{{{WHO}, role: {role}}}]");
    service.answer("/identity/v3/auth/tokens", catalog(&service));
    service.answer("/compute/os-hypervisors/detail", json(r#"{"hypervisors": [
        {"id": 1, "hypervisor_hostname": "nc14.cloud.com", "host_ip": "172.16.70.14", "status": "enabled", "state": "up", "hypervisor_type": "QEMU"}]}"#));
    let found = asker_of(&service, &sd("hypervisor")).ask().await.unwrap();
    assert_eq!(
        lines(&found, "__meta_openstack_hypervisor_"),
        [
            "__address__=172.16.70.14:9100 host_ip=172.16.70.14 hostname=nc14.cloud.com id=1 state=up status=enabled type=QEMU"
        ]
    );
    service.answer("/load-balancer/v2.0/lbaas/loadbalancers", json(r#"{"loadbalancers": [
        {"id": "l1", "name": "lb", "operating_status": "ONLINE", "provisioning_status": "ACTIVE", "availability_zone": "az", "vip_address": "10.0.0.32",
         "vip_port_id": "p1", "provider": "amphora", "project_id": "pr", "tags": ["a", "b"]}, {"id": "l2"}]}"#));
    service.answer(
        "/load-balancer/v2.0/lbaas/listeners",
        json(
            r#"{"listeners": [
        {"protocol": "HTTP", "protocol_port": 80, "loadbalancers": [{"id": "l1"}, {"id": "l2"}]},
        {"protocol": "PROMETHEUS", "protocol_port": 9273, "loadbalancers": [{"id": "l1"}]}]}"#,
        ),
    );
    service.answer(
        "/network/v2.0/floatingips",
        json(r#"{"floatingips": [{"port_id": "p1", "floating_ip_address": "192.0.2.9"}]}"#),
    );
    let found = asker_of(&service, &sd("loadbalancer")).ask().await.unwrap();
    assert_eq!(
        lines(&found, "__meta_openstack_loadbalancer_"),
        [
            "__address__=10.0.0.32:9273 availability_zone=az floating_ip=192.0.2.9 id=l1 name=lb operating_status=ONLINE \
             provider=amphora provisioning_status=ACTIVE tags=a,b vip=10.0.0.32 __meta_openstack_project_id=pr"
        ]
    );
}

#[tokio::test]
async fn who_asks_may_stand_in_the_environment_and_refusals_are_told() {
    let service = FakeTarget::start().await;
    let sd = "openstack_sd_configs: [{role: hypervisor, region: R2}]";
    let failed = "could not authenticate to OpenStack: ";
    let nobody = asker_of(&service, sd).ask().await.unwrap_err().message;
    assert_eq!(nobody, format!("{failed}Missing environment variable [OS_AUTH_URL]"));
    let url = service.url("/");
    let of_credential = [
        ("OS_AUTH_URL", url.as_str()),
        ("OS_APPLICATION_CREDENTIAL_ID", "id"),
        ("OS_APPLICATION_CREDENTIAL_SECRET", "se"),
    ];
    service.answer("/v3/auth/tokens", catalog(&service));
    let error = asker_in(&service, sd, &of_credential).ask().await.unwrap_err().message;
    assert_eq!(
        error,
        "could not create OpenStack compute session: No suitable endpoint could be found in the service catalog."
    );
    let asked = service.requests().pop().unwrap();
    assert!(asked.ends_with(r#"{"auth":{"identity":{"application_credential":{"id":"id","secret":"se"},"methods":["application_credential"]}}}"#), "{asked}");
    let reason = r#"{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}"#;
    let size = reason.len();
    let refused = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {size}\r\n\r\n{reason}");
    service.answer("/v3/auth/tokens", Answer::Bytes(refused.into_bytes()));
    let error = asker_in(&service, sd, &of_credential).ask().await.unwrap_err().message;
    assert_eq!(
        error,
        format!(
            "{failed}Expected HTTP response code [201 200], but got 401 instead: The request you have made requires authentication."
        )
    );
    let without_domain = [("OS_AUTH_URL", url.as_str()), ("OS_USERNAME", "u")];
    let error = asker_in(&service, sd, &without_domain).ask().await.unwrap_err().message;
    assert!(error.contains("exactly one of DomainID or DomainName"), "{error}");
}
