//! How a cloud wants requests to be signed: AWS, Azure, Google. It signs nothing.

use crate::{Secret, check::Checker, key_path::KeyPath, section::section};

const AZURE_CLOUDS: [&str; 3] = ["AzureChina", "AzureGovernment", "AzurePublic"];
const AZURE_TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

section! {
    /// `sigv4`: requests signed for AWS.
    Sigv4Config, RawSigv4 = "sigv4.plain", check_sigv4 {
        region: String;
        access_key: String;
        secret_key: Secret;
        profile: String;
        role_arn: String;
        external_id: String;
        use_fips_sts_endpoint: bool;
        service_name: String;
    }
}

section! {
    /// `azuread`: requests with a token of Microsoft Entra; exactly one way to get it.
    AzureAdConfig, RawAzureAd = "azuread.plain", check_azuread {
        managed_identity: Option<AzureManagedIdentityConfig>;
        workload_identity: Option<AzureWorkloadIdentityConfig>;
        oauth: Option<AzureOAuthConfig>;
        sdk: Option<AzureSdkConfig>;
        certificate: Option<AzureCertificateConfig>;
        cloud: String;
        scope: String;
    }
}

section! {
    AzureManagedIdentityConfig, RawAzureManagedIdentity = "azuread.ManagedIdentityConfig" {
        client_id: String;
    }
}

section! {
    AzureWorkloadIdentityConfig, RawAzureWorkloadIdentity = "azuread.WorkloadIdentityConfig" {
        client_id: String;
        tenant_id: String;
        token_file_path: String;
    }
}

section! {
    AzureOAuthConfig, RawAzureOAuth = "azuread.OAuthConfig" {
        client_id: String;
        client_secret: Secret;
        tenant_id: String;
    }
}

section! {
    AzureSdkConfig, RawAzureSdk = "azuread.SDKConfig" {
        tenant_id: String;
    }
}

section! {
    AzureCertificateConfig, RawAzureCertificate = "azuread.CertificateConfig" {
        client_id: String;
        tenant_id: String;
        certificate_path: String;
        certificate_key_path: String;
        certificate_password: Secret;
        send_certificate_chain: bool;
    }
}

section! {
    /// `google_iam`: requests signed for Google Cloud.
    GoogleIamConfig, RawGoogleIam = "googleiam.Config" {
        credentials_file: String;
    }
}

fn check_sigv4(sigv4: &mut Sigv4Config, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if sigv4.access_key.is_empty() != sigv4.secret_key.is_empty() {
        let message = "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config";
        checker.report(at, message);
    }
    if !sigv4.external_id.is_empty() && sigv4.role_arn.is_empty() {
        let message = "external_id can only be used with role_arn";
        checker.report(&at.key("external_id"), message);
    }
}

fn check_azuread(azure: &mut AzureAdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if azure.cloud.is_empty() {
        azure.cloud = String::from("AzurePublic");
    }
    if !AZURE_CLOUDS.contains(&azure.cloud.as_str()) {
        checker.report(&at.key("cloud"), "must provide a cloud in the Azure AD config");
    }
    let ways = [
        azure.managed_identity.is_some(),
        azure.workload_identity.is_some(),
        azure.oauth.is_some(),
        azure.sdk.is_some(),
        azure.certificate.is_some(),
    ];
    match ways.into_iter().filter(|is_given| *is_given).count() {
        0 => checker.report(at, "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure SDK in the Azure AD config"),
        1 => {}
        _ => checker.report(at, "cannot provide multiple authentication methods in the Azure AD config"),
    }
    let scope_char =
        |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "_:/.-".contains(c);
    if !azure.scope.chars().all(scope_char) {
        checker.report(&at.key("scope"), "the provided scope contains invalid characters");
    }
    if let Some(identity) = &azure.managed_identity
        && !identity.client_id.is_empty()
        && !is_uuid(&identity.client_id)
    {
        let message = "the provided Azure Managed Identity client_id is invalid";
        checker.report(&at.key("managed_identity").key("client_id"), message);
    }
    if let Some(identity) = &mut azure.workload_identity {
        if identity.token_file_path.is_empty() {
            let path = checker.env("AZURE_FEDERATED_TOKEN_FILE");
            identity.token_file_path =
                if path.is_empty() { AZURE_TOKEN_FILE.to_owned() } else { path };
        }
        let at = at.key("workload_identity");
        let ids = [("client_id", identity.client_id.as_str()), ("tenant_id", &identity.tenant_id)];
        check_ids("Workload Identity", ids, 2, checker, &at);
    }
    if let Some(oauth) = &azure.oauth {
        let at = at.key("oauth");
        if oauth.client_secret.is_empty() {
            let message = "must provide an Azure OAuth client_secret in the Azure AD config";
            checker.report(&at.key("client_secret"), message);
        }
        let ids = [("client_id", oauth.client_id.as_str()), ("tenant_id", &oauth.tenant_id)];
        check_ids("OAuth", ids, 1, checker, &at);
    }
    if let Some(certificate) = &azure.certificate {
        let at = at.key("certificate");
        if certificate.certificate_path.is_empty() {
            let message =
                "must provide an Azure Certificate certificate_path in the Azure AD config";
            checker.report(&at.key("certificate_path"), message);
        }
        let ids =
            [("client_id", certificate.client_id.as_str()), ("tenant_id", &certificate.tenant_id)];
        check_ids("Certificate", ids, 1, checker, &at);
    }
}

/// Ids must be given; the first ones must be UUIDs.
fn check_ids(
    way: &str,
    ids: [(&str, &str); 2],
    uuid_count: usize,
    checker: &mut Checker<'_>,
    at: &KeyPath<'_>,
) {
    for (i, (key, id)) in ids.into_iter().enumerate() {
        if id.is_empty() {
            let message = format!("must provide an Azure {way} {key} in the Azure AD config");
            checker.report(&at.key(key), message);
        } else if i < uuid_count && !is_uuid(id) {
            checker.report(&at.key(key), format_args!("the provided Azure {way} {key} is invalid"));
        }
    }
}

/// Plain, in braces, with `urn:uuid:`, or without hyphens. Compat: google/uuid `Parse`.
fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    match text.len() {
        32 => text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        36 => text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }),
        _ => false,
    }
}
