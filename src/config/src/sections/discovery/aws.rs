//! Mechanisms that ask Amazon's cloud.

use std::time::Duration;

use prom_model::quote_go;

use crate::{HttpClientConfig, Secret, check::Checker, key_path::KeyPath, section::section};

const ROLES: [&str; 6] = ["ec2", "ecs", "elasticache", "lightsail", "msk", "rds"];

section! {
    /// `aws_sd_configs`: one of the others, chosen by its role.
    AwsSdConfig, RawAws = "aws.plain", check_aws {
        role: String => always;
        region: String;
        endpoint: String;
        access_key: String;
        secret_key: Secret;
        profile: String;
        role_arn: String;
        external_id: String;
        refresh_interval: Duration;
        port: i64;
        http_client as "#http": HttpClientConfig = crate::raw::RawHttpClient::all_off();
        filters: Vec<AwsFilter>;
        clusters: Vec<String>;
    }
}

section! {
    /// A filter on what the cloud lists.
    AwsFilter, RawAwsFilter = "aws.Filter" {
        name: String => always;
        values: Vec<String> => always;
    }
}

section! {
    /// `ec2_sd_configs`.
    Ec2SdConfig, RawEc2 = "aws.plain#ec2", check_ec2 {
        endpoint: String => always;
        region: String => always;
        access_key: String;
        secret_key: Secret;
        profile: String;
        role_arn: String;
        external_id: String;
        refresh_interval: Duration = "1m";
        port: i64 = 80 => always;
        filters: Vec<AwsFilter> => always;
        http_client as "#http": HttpClientConfig;
    }
}

section! {
    /// `lightsail_sd_configs`.
    LightsailSdConfig, RawLightsail = "aws.plain#lightsail" {
        endpoint: String => always;
        region: String => always;
        access_key: String;
        secret_key: Secret;
        profile: String;
        role_arn: String;
        external_id: String;
        refresh_interval: Duration = "1m";
        port: i64 = 80 => always;
        http_client as "#http": HttpClientConfig;
    }
}

/// Mechanisms that list clusters.
macro_rules! clusters_section {
    ($name:ident, $raw:ident = $go:literal, $doc:literal, $concurrency:literal $(, $filters:ident)?) => {
        section! {
            #[doc = $doc]
            $name, $raw = $go {
                region: String => always;
                endpoint: String => always;
                access_key: String;
                secret_key: Secret;
                profile: String;
                role_arn: String;
                external_id: String;
                clusters: Vec<String>;
                port: i64 = 80 => always;
                refresh_interval: Duration = "1m";
                $($filters: Vec<AwsFilter> => always;)?
                /// Most requests at a time.
                request_concurrency: i64 = $concurrency;
                http_client as "#http": HttpClientConfig;
            }
        }
    };
}

clusters_section!(EcsSdConfig, RawEcs = "aws.plain#ecs", "`ecs_sd_configs`.", 20);
clusters_section!(
    ElasticacheSdConfig,
    RawElasticache = "aws.plain#elasticache",
    "`elasticache_sd_configs`.",
    10
);
clusters_section!(MskSdConfig, RawMsk = "aws.plain#msk", "`msk_sd_configs`.", 10);
clusters_section!(RdsSdConfig, RawRds = "aws.plain#rds", "`rds_sd_configs`.", 10, filters);

fn check_aws(aws: &mut AwsSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if !ROLES.contains(&aws.role.as_str()) {
        let message = format!("unknown AWS SD role {}", quote_go(&aws.role));
        checker.report(&at.key("role"), message);
    }
}

fn check_ec2(ec2: &mut Ec2SdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let empty = ec2.filters.iter().position(|filter| filter.values.is_empty());
    if let Some(i) = empty {
        let message = "EC2 SD configuration filter values cannot be empty";
        checker.report(&at.key("filters").index(i), message);
    }
}
