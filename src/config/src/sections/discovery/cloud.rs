//! Mechanisms that ask a cloud other than Amazon's.

use std::{path::PathBuf, time::Duration};

use prom_model::{format_duration, quote_go};

use super::require;
use crate::{
    HttpClientConfig, Secret, TlsConfig, check::Checker, go_url, key_path::KeyPath,
    section::section,
};

section! {
    /// `azure_sd_configs`.
    AzureSdConfig, RawAzure = "azure.plain", check_azure {
        environment: String = "AzurePublicCloud";
        port: i64 = 80 => always;
        subscription_id: String => always;
        tenant_id: String;
        client_id: String;
        client_secret: Secret;
        refresh_interval: Duration = "5m";
        authentication_method: String = "OAuth";
        resource_group: String;
        http_client as "#http": HttpClientConfig;
    }
}

section! {
    /// `digitalocean_sd_configs`.
    DigitalOceanSdConfig, RawDigitalOcean = "digitalocean.plain", check_digitalocean {
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m" => always;
        port: i64 = 80 => always;
        role: String = "droplets";
    }
}

section! {
    /// `gce_sd_configs`.
    GceSdConfig, RawGce = "gce.plain", check_gce {
        project: String => always;
        zone: String => always;
        filter: String;
        refresh_interval: Duration = "1m";
        port: i64 = 80 => always;
        tag_separator: String = ",";
    }
}

section! {
    /// `hetzner_sd_configs`.
    HetznerSdConfig, RawHetzner = "hetzner.plain", check_hetzner {
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m" => always;
        port: i64 = 80 => always;
        role: String => always;
        label_selector: String;
    }
}

section! {
    /// `ionos_sd_configs`.
    IonosSdConfig, RawIonos = "ionos.plain", check_ionos {
        datacenter_id: String => always;
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m" => always;
        port: i64 = 80 => always;
    }
}

section! {
    /// `linode_sd_configs`.
    LinodeSdConfig, RawLinode = "linode.plain" {
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m" => always;
        port: i64 = 80 => always;
        tag_separator: String = ",";
        region: String;
    }
}

section! {
    /// `oci_sd_configs`.
    OciSdConfig, RawOci = "oci.plain", check_oci {
        auth: String = "api_key";
        tenancy: String;
        user: String;
        fingerprint: String;
        key_file: PathBuf;
        key_passphrase: Secret;
        key_passphrase_file: PathBuf;
        region: String => always;
        compartments: Vec<String>;
        http_client as "#http": HttpClientConfig;
        port: i64 = 80 => always;
        refresh_interval: Duration = "1m" => always;
    }
}

section! {
    /// `openstack_sd_configs`.
    OpenstackSdConfig, RawOpenstack = "openstack.plain", check_openstack {
        identity_endpoint: String => always;
        username: String => always;
        userid: String => always;
        password: Secret => always;
        project_name: String => always;
        project_id: String => always;
        domain_name: String => always;
        domain_id: String => always;
        application_credential_name: String => always;
        application_credential_id: String => always;
        application_credential_secret: Secret => always;
        role: String => always;
        region: String => always;
        refresh_interval: Duration = "1m" => always;
        port: i64 = 80 => always;
        all_tenants: bool;
        tls_config: TlsConfig;
        availability: String = "public";
    }
}

section! {
    /// `outscale_sd_configs`.
    OutscaleSdConfig, RawOutscale = "outscale.plain", check_outscale {
        endpoint: String;
        region: String = "eu-west-2" => always;
        access_key: String => always;
        secret_key: Secret => always;
        secret_key_file: PathBuf => always;
        refresh_interval: Duration = "1m";
        port: i64 = 80 => always;
        http_client as "#http": HttpClientConfig;
    }
}

section! {
    /// `ovhcloud_sd_configs`.
    OvhcloudSdConfig, RawOvhcloud = "ovhcloud.plain", check_ovhcloud {
        endpoint: String = "ovh-eu" => always;
        application_key: String => always;
        application_secret: Secret => always;
        consumer_key: Secret => always;
        refresh_interval: Duration = "1m" => always;
        service: String => always;
    }
}

section! {
    /// `scaleway_sd_configs`.
    ScalewaySdConfig, RawScaleway = "scaleway.plain", check_scaleway {
        project_id: String => always;
        api_url: String = "https://api.scaleway.com";
        zone: String = "fr-par-1" => always;
        access_key: String => always;
        secret_key: Secret => always;
        secret_key_file: PathBuf => always;
        name_filter: String;
        tags_filter: Vec<String>;
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m" => always;
        port: i64 = 80 => always;
        role: String => always;
    }
}

section! {
    /// `stackit_sd_configs`.
    StackitSdConfig, RawStackit = "stackit.plain", check_stackit {
        http_client as "#http": HttpClientConfig;
        project: String => always;
        refresh_interval: Duration = "1m";
        port: i64 = 80;
        region: String = "eu01";
        endpoint: String;
        service_account_key: Secret;
        private_key: Secret;
        /// Paths from the working directory, as Prometheus takes them.
        service_account_key_path: String;
        private_key_path: String;
        credentials_file_path: String;
    }
}

section! {
    /// `vultr_sd_configs`.
    VultrSdConfig, RawVultr = "vultr.plain" {
        http_client as "#http": HttpClientConfig;
        refresh_interval: Duration = "1m" => always;
        port: i64 = 80 => always;
    }
}

/// A role is one of two.
fn check_role(
    role: &str,
    allowed: &[&str],
    unknown: &str,
    checker: &mut Checker<'_>,
    at: &KeyPath<'_>,
) {
    if role.is_empty() {
        let message = format!("role missing (one of: {})", allowed.join(", "));
        checker.report(&at.key("role"), message);
    } else if !allowed.contains(&role) {
        checker.report(&at.key("role"), format_args!("unknown {unknown} {}", quote_go(role)));
    }
}

fn check_azure(sd: &mut AzureSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    const METHODS: [&str; 4] = ["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"];
    let method = sd.authentication_method.as_str();
    let is_oauth = method == METHODS[0];
    for (key, is_missing) in [
        ("subscription_id", sd.subscription_id.is_empty()),
        ("tenant_id", is_oauth && sd.tenant_id.is_empty()),
        ("client_id", is_oauth && sd.client_id.is_empty()),
        ("client_secret", is_oauth && sd.client_secret.is_empty()),
    ] {
        if is_missing {
            let message = format!("azure SD configuration requires a {key}");
            checker.report(&at.key(key), message);
        }
    }
    if !METHODS.contains(&method) {
        let [oauth, managed, sdk, workload] = METHODS.map(quote_go);
        checker.report(
            &at.key("authentication_method"),
            format_args!(
                "unknown authentication_type {}. Supported types are {oauth}, {managed}, {sdk} or {workload}",
                quote_go(method)
            ),
        );
    }
}

fn check_digitalocean(sd: &mut DigitalOceanSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_role(&sd.role, &["droplets", "databases"], "DigitalOcean SD role", checker, at);
}

fn check_gce(sd: &mut GceSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let message = "GCE SD configuration requires a project";
    require(&sd.project, "project", message, checker, at);
    require(&sd.zone, "zone", "GCE SD configuration requires a zone", checker, at);
}

fn check_hetzner(sd: &mut HetznerSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_role(&sd.role, &["robot", "hcloud"], "role", checker, at);
}

fn check_ionos(sd: &mut IonosSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    require(&sd.datacenter_id, "datacenter_id", "datacenter id can't be empty", checker, at);
}

fn check_oci(sd: &mut OciSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    require(&sd.region, "region", "oci_sd: region is required", checker, at);
    let is_path = |path: &PathBuf| !path.as_os_str().is_empty();
    let given = [
        ("tenancy", !sd.tenancy.is_empty()),
        ("user", !sd.user.is_empty()),
        ("fingerprint", !sd.fingerprint.is_empty()),
        ("key_file", is_path(&sd.key_file)),
    ];
    let (has_phrase, has_phrase_file) =
        (!sd.key_passphrase.is_empty(), is_path(&sd.key_passphrase_file));
    match sd.auth.as_str() {
        "api_key" => {
            for (key, _) in given.into_iter().filter(|(_, is_given)| !is_given) {
                let message = format!("oci_sd: api_key auth requires {key}");
                checker.report(&at.key(key), message);
            }
            if has_phrase && has_phrase_file {
                checker.report(&at.key("key_passphrase_file"), "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured");
            }
        }
        "instance_principal" => {
            if has_phrase || has_phrase_file || given.iter().any(|(_, is_given)| *is_given) {
                checker.report(&at.key("auth"), "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set");
            }
        }
        auth => checker.report(
            &at.key("auth"),
            format_args!(
                "oci_sd: unknown auth method {}, expected \"api_key\" or \"instance_principal\"",
                quote_go(auth)
            ),
        ),
    }
    for (i, _) in sd.compartments.iter().enumerate().filter(|(_, id)| id.is_empty()) {
        let message = format!("oci_sd: compartments[{i}] must not be empty");
        checker.report(&at.key("compartments").index(i), message);
    }
    if sd.refresh_interval.is_zero() {
        let zero = format_duration(0);
        let message = format!("oci_sd: refresh_interval must be positive, got {zero}");
        checker.report(&at.key("refresh_interval"), message);
    }
}

fn check_openstack(sd: &mut OpenstackSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if !["public", "internal", "admin"].contains(&sd.availability.as_str()) {
        let given = &sd.availability;
        checker.report(
            &at.key("availability"),
            format_args!("unknown availability {given}, must be one of admin, internal or public"),
        );
    }
    let roles = ["instance", "hypervisor", "loadbalancer"];
    check_role(&sd.role, &roles, "OpenStack SD role", checker, at);
    let message = "openstack SD configuration requires a region";
    require(&sd.region, "region", message, checker, at);
}

fn check_secret_key(
    (secret, file): (&Secret, &PathBuf),
    checker: &mut Checker<'_>,
    at: &KeyPath<'_>,
) {
    match (secret.is_empty(), file.as_os_str().is_empty()) {
        (true, true) => {
            let message = "one of secret_key & secret_key_file must be configured";
            checker.report(&at.key("secret_key"), message);
        }
        (false, false) => {
            let message = "at most one of secret_key & secret_key_file must be configured";
            checker.report(&at.key("secret_key_file"), message);
        }
        _ => {}
    }
}

fn check_outscale(sd: &mut OutscaleSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let message = "outscale SD configuration requires a region";
    require(&sd.region, "region", message, checker, at);
    let message = "outscale SD configuration requires access_key";
    require(&sd.access_key, "access_key", message, checker, at);
    check_secret_key((&sd.secret_key, &sd.secret_key_file), checker, at);
    if sd.endpoint.is_empty() {
        sd.endpoint = format!("https://api.{}.outscale.com/api/v1", sd.region);
    }
}

fn check_ovhcloud(sd: &mut OvhcloudSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    for (key, what, is_empty) in [
        ("endpoint", "endpoint", sd.endpoint.is_empty()),
        ("application_key", "application key", sd.application_key.is_empty()),
        ("application_secret", "application secret", sd.application_secret.is_empty()),
        ("consumer_key", "consumer key", sd.consumer_key.is_empty()),
    ] {
        if is_empty {
            checker.report(&at.key(key), format_args!("{what} can not be empty"));
        }
    }
    if !["dedicated_server", "vps"].contains(&sd.service.as_str()) {
        checker.report(&at.key("service"), format_args!("unknown service: {}", sd.service));
    }
}

fn check_scaleway(sd: &mut ScalewaySdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    check_role(&sd.role, &["instance", "baremetal"], "role", checker, at);
    require(&sd.project_id, "project_id", "project_id is mandatory", checker, at);
    check_secret_key((&sd.secret_key, &sd.secret_key_file), checker, at);
    require(&sd.access_key, "access_key", "access_key is mandatory", checker, at);
}

fn check_stackit(sd: &mut StackitSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if sd.endpoint.is_empty() && sd.region.is_empty() {
        checker.report(&at.key("endpoint"), "stackit_sd: endpoint and region missing");
    }
    if let Err(message) = go_url::parse(&sd.endpoint) {
        let endpoint = quote_go(&sd.endpoint);
        checker.report(
            &at.key("endpoint"),
            format_args!("stackit_sd: invalid endpoint {endpoint}: {message}"),
        );
    }
}
