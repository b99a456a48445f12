//! Machines of Azure, and where tokens come from.

use prom_testkit::{Answer, FakeTarget};

use crate::rest::tests::{asker_in, asker_of, ends_a_hang, json, lines, survives};

const OAUTH: &str = "azure_sd_configs: [{subscription_id: sub, tenant_id: ten, client_id: cli, client_secret: sec, port: 9100}]";
const TOKEN: &str = "/ten/oauth2/v2.0/token";
const VMS: &str = "/subscriptions/sub/providers/Microsoft.Compute/virtualMachines";
const SETS: &str = "/subscriptions/sub/providers/Microsoft.Compute/virtualMachineScaleSets";
const SET_VMS: &str = "/subscriptions/sub/resourceGroups/RG/providers/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines";
const NICS: &str =
    "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces";

fn token() -> Answer {
    json(r#"{"token_type": "Bearer", "expires_in": 3599, "access_token": "eyJ0"}"#)
}

fn vm(name: &str, nic: &str) -> String {
    format!(
        r#"{{"id": "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/{name}", "name": "{name}", "type": "t",
        "instanceId": "0", "location": "westeurope", "tags": {{"env-a": "prod"}}, "properties": {{"hardwareProfile": {{"vmSize": "Standard_B1s"}},
        "storageProfile": {{"osDisk": {{"osType": "Linux"}}}}, "osProfile": {{"computerName": "{name}-host"}},
        "networkProfile": {{"networkInterfaces": [{{"id": "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces/{nic}"}}]}}}}}}"#
    )
}

fn nic(primary: &str, ip: &str) -> Answer {
    json(&format!(
        r#"{{"properties": {{{primary} "ipConfigurations": [{{"properties": {{"privateIPAddress": "{ip}", "publicIPAddress": {{"properties": {{"ipAddress": "192.0.2.1"}}}}}}}}]}}}}"#
    ))
}

#[tokio::test]
async fn machines_are_targets_alone_and_in_scale_sets() {
    let service = FakeTarget::start().await;
    let mut asker = asker_of(&service, OAUTH);
    service.answer(TOKEN, token());
    let next = service.url(&format!("{VMS}?page=2"));
    let page =
        |vms: &[String], more: &str| json(&format!("{{\"value\": [{}]{more}}}", vms.join(",")));
    service.answer(VMS, page(&[vm("one", "nic1")], &format!(", \"nextLink\": \"{next}\"")));
    service.answer(
        &format!("{VMS}?page=2"),
        page(&[vm("off", "nic2"), vm("gone", "nic3"), vm("side", "nic4")], ""),
    );
    let set = "/subscriptions/sub/resourceGroups/RG/providers/Microsoft.Compute/virtualMachineScaleSets/set";
    service.answer(SETS, json(&format!(r#"{{"value": [{{"id": "{set}", "name": "set"}}]}}"#)));
    service.answer(SET_VMS, page(&[vm("set_0", "nic5")], ""));
    service.answer(&format!("{NICS}/nic1"), nic("\"primary\": true,", "10.0.0.1"));
    service.answer(&format!("{NICS}/nic2"), nic("", "10.0.0.2"));
    service.answer(&format!("{NICS}/nic4"), nic("\"primary\": false,", "10.0.0.4"));
    let of_set = SET_VMS.replace("/RG/", "/rg/");
    service.answer(
        &format!("{of_set}/0/networkInterfaces/nic5"),
        nic("\"primary\": true,", "fd00::5"),
    );
    let found = asker.ask().await.unwrap();
    let target = |name: &str, address: &str, ip: &str, set: &str| {
        format!(
            "__address__={address}:9100 machine_computer_name={name}-host machine_id=/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/{name} \
             machine_location=westeurope machine_name={name} machine_os_type=Linux machine_private_ip={ip} machine_public_ip=192.0.2.1 \
             machine_resource_group=rg {set}machine_size=Standard_B1s machine_tag_env_a=prod subscription_id=sub tenant_id=ten"
        )
    };
    let expected = [
        target("one", "10.0.0.1", "10.0.0.1", ""),
        target("set_0", "[fd00::5]", "fd00::5", "machine_scale_set=set "),
    ];
    assert_eq!(lines(&found, "__meta_azure_"), expected);
    let requests = service.requests();
    assert!(requests[0].ends_with(
        "client_id=cli&client_secret=sec&grant_type=client_credentials&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"
    ));
    assert!(requests[1].starts_with(&format!("GET {VMS}?api-version=2024-07-01 HTTP")));
    assert!(requests[1].to_lowercase().contains("authorization: bearer eyj0\r\n"));
    let expand = "%24expand=IPConfigurations%2FPublicIPAddress";
    let nic5 = requests.iter().find(|head| head.contains("nic5")).unwrap();
    assert!(nic5.contains("api-version=2018-10-01") && nic5.contains(expand), "{nic5}");
    // Interfaces are remembered; those that did not exist are asked for again.
    assert_eq!(lines(&asker.ask().await.unwrap(), "__meta_azure_"), expected);
    let more: Vec<String> = service.requests().split_off(requests.len());
    assert_eq!(more.len(), 5, "{more:?}");
    survives(&service, &mut *asker, VMS).await;
    let mut hasty = asker_of(&service, &OAUTH.replace("9100", "1, refresh_interval: 50ms"));
    ends_a_hang(&service, &mut *hasty.hasty, VMS).await;
}

#[tokio::test]
async fn tokens_come_from_every_place_and_refusals_are_told() {
    let service = FakeTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token").display().to_string();
    std::fs::write(&file, "jwt\n").unwrap();
    for path in [VMS, SETS] {
        service.answer(path, json(r#"{"value": []}"#));
    }
    for path in ["/ten/oauth2/v2.0/token", "/metadata/identity/oauth2/token", "/app"] {
        service.answer(path, token());
    }
    let app = service.url("/app");
    let of_app = [("IDENTITY_ENDPOINT", app.as_str()), ("IDENTITY_HEADER", "h")];
    let client = [("AZURE_TENANT_ID", "ten"), ("AZURE_CLIENT_ID", "c2")];
    let cluster = [&client[..], &[("AZURE_FEDERATED_TOKEN_FILE", file.as_str())]].concat();
    let secret = [&client[..], &[("AZURE_CLIENT_SECRET", "s2")]].concat();
    for (method, env, expected) in [
        ("ManagedIdentity", &[][..], "metadata: true"),
        ("ManagedIdentity", &of_app, "x-identity-header: h"),
        ("WorkloadIdentity", &cluster, "client_assertion=jwt&client_assertion_type="),
        ("SDK", &secret, "client_id=c2&client_secret=s2"),
        ("SDK", &cluster, "client_assertion=jwt"),
        ("SDK", &[], "metadata: true"),
    ] {
        let sd = format!(
            "azure_sd_configs: [{{subscription_id: sub, authentication_method: {method}}}]"
        );
        let mut asker = asker_in(&service, &sd, env);
        let before = service.requests().len();
        asker.ask().await.unwrap();
        let asked = &service.requests()[before];
        assert!(asked.contains(expected), "{method}: {asked}");
    }
    let mut asker = asker_in(
        &service,
        "azure_sd_configs: [{subscription_id: sub, authentication_method: WorkloadIdentity}]",
        &[],
    );
    assert_eq!(
        asker.ask().await.unwrap_err().message,
        "no Azure token: no AZURE_TENANT_ID in the environment"
    );
    let mut asker = asker_of(&service, OAUTH);
    let refusal = r#"{"error": "invalid_client", "error_description": "AADSTS7000215: no"}"#;
    let size = refusal.len();
    let refused = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {size}\r\n\r\n{refusal}");
    service.answer(TOKEN, Answer::Bytes(refused.into_bytes()));
    assert_eq!(
        asker.ask().await.unwrap_err().message,
        "no Azure token: RESPONSE 401 Unauthorized: AADSTS7000215: no"
    );
    let wrong = OAUTH.replace("{subscription_id", "{environment: Moon, subscription_id");
    assert_eq!(
        asker_of(&service, &wrong).ask().await.unwrap_err().message,
        "could not create Azure client: there is no cloud configuration matching the name \"MOON\""
    );
}
