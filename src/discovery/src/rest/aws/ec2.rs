//! `ec2_sd_configs`: instances. Compat: Prometheus `discovery/aws/ec2.go`;
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>.

use std::{borrow::Cow, collections::HashMap};

use futures_util::future::BoxFuture;
use prom_config::AwsFilter;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{Asked, AwsClient, Entry, client::Service, given, group, set_tags};
use crate::{
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, LabelRule, RestAsker,
        Rule::{self, Text},
        host_port, joined,
        rules::{list, text},
    },
};

pub(super) static EC2: Service = Service { name: "EC2", id: "ec2", version: "2016-11-15" };

/// Reservations on one page.
const PAGE_SIZE: &str = "1000";
/// Higher places of network interfaces are not told.
const DEVICE_COUNT_MAX: usize = 1024;
pub(super) const NEXT: (&str, &str) = ("/nextToken", "NextToken");

const PREFIX: &str = "__meta_ec2_";
static LABELS: [LabelRule; 11] = [
    ("ami", Text("/imageId")),
    ("architecture", Text("/architecture")),
    ("availability_zone", Text("/placement/availabilityZone")),
    ("instance_id", Text("/instanceId")),
    ("instance_lifecycle", Text("/instanceLifecycle")),
    ("instance_state", Text("/instanceState/name")),
    ("instance_type", Text("/instanceType")),
    ("platform", Text("/platform")),
    ("private_dns_name", Text("/privateDnsName")),
    ("private_ip", Text("/privateIpAddress")),
    ("vpc_id", Text("/vpcId")),
];

#[derive(Debug)]
pub(super) struct Ec2Asker {
    client: AwsClient,
    entry: Entry,
    /// Ids of availability zones by their names, once they are known.
    zone_ids: Option<HashMap<String, String>>,
}

/// Addresses of an instance in its network.
#[derive(Default)]
struct Ipv6 {
    /// By the place of their interface, with gaps.
    primary: Vec<String>,
    all: Vec<String>,
}

impl Ec2Asker {
    pub(super) fn new(entry: Entry, means: &Means) -> Self {
        Self { client: AwsClient::new(&EC2, &entry, means), entry, zone_ids: None }
    }

    async fn targets(&mut self) -> Asked {
        let region = self.client.region().await?;
        // Without them a label is missing, which is better than no targets at all.
        if self.zone_ids.is_none() {
            match zone_ids(&self.client).await {
                Ok(found) => self.zone_ids = Some(found),
                Err(err) => tracing::debug!(%err, "Unable to describe availability zones"),
            }
        }
        let (port, zone_ids) = (self.entry.port, self.zone_ids.take().unwrap_or_default());
        let mut parameters = filters(&self.entry.filters);
        parameters.push(("MaxResults".to_owned(), PAGE_SIZE.to_owned()));
        let mut targets = Vec::new();
        let mut take = |reservation: Value| {
            let owner = text(&reservation, "/ownerId");
            for instance in list(&reservation, "/instancesSet") {
                targets.extend(target(instance, port, |labels| {
                    labels.set("__meta_ec2_region", &region);
                    labels.set("__meta_ec2_owner_id", &owner);
                    let zone = text(instance, "/placement/availabilityZone");
                    if let Some(id) = zone_ids.get(&*zone) {
                        labels.set("__meta_ec2_availability_zone_id", id);
                    }
                }));
            }
            Ok(())
        };
        let path = ["reservationSet", "item"];
        let asked = self.client.query("DescribeInstances", &parameters, &path, NEXT, &mut take);
        let asked = asked.await.map_err(|error| error.during("could not describe instances"));
        if !zone_ids.is_empty() {
            self.zone_ids = Some(zone_ids);
        }
        asked?;
        Ok(group(&region, targets))
    }
}

impl RestAsker for Ec2Asker {
    fn ask(&mut self) -> BoxFuture<'_, Asked> {
        Box::pin(self.targets())
    }
}

async fn zone_ids(client: &AwsClient) -> Result<HashMap<String, String>, AskError> {
    let mut ids = HashMap::new();
    let mut take = |zone: Value| {
        ids.insert(text(&zone, "/zoneName").into_owned(), text(&zone, "/zoneId").into_owned());
        Ok(())
    };
    let path = ["availabilityZoneInfo", "item"];
    client.query("DescribeAvailabilityZones", &[], &path, NEXT, &mut take).await?;
    Ok(ids)
}

/// Filters as numbered parameters.
fn filters(filters: &[AwsFilter]) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    for (filter, number) in filters.iter().zip(1..) {
        parameters.push((format!("Filter.{number}.Name"), filter.name.clone()));
        for (value, of_value) in filter.values.iter().zip(1..) {
            parameters.push((format!("Filter.{number}.Value.{of_value}"), value.clone()));
        }
    }
    parameters
}

/// The target that an instance is; none if it has no address.
fn target(instance: &Value, port: i64, more: impl FnOnce(&mut LabelsBuilder)) -> Option<Labels> {
    let ipv6 = Ipv6::of(instance);
    let host = given(instance, "/privateIpAddress").map(Cow::Owned);
    let host = host.or_else(|| ipv6.main().map(Cow::Borrowed))?;
    let mut labels = LabelsBuilder::default();
    Rule::apply(&LABELS, PREFIX, instance, &mut labels);
    labels.set(ADDRESS, &host_port(&host, port));
    labels.set("__meta_ec2_default_ipv6_address", ipv6.main().unwrap_or_default());
    labels.set("__meta_ec2_primary_ipv6_addresses", &joined(ipv6.primary.iter(), ","));
    labels.set("__meta_ec2_ipv6_addresses", &joined(ipv6.all.iter(), ","));
    if let Some(public_ip) = given(instance, "/ipAddress") {
        labels.set("__meta_ec2_public_ip", &public_ip);
        labels.set("__meta_ec2_public_dns_name", &text(instance, "/dnsName"));
    }
    if given(instance, "/vpcId").is_some() {
        labels.set("__meta_ec2_primary_subnet_id", &text(instance, "/subnetId"));
        let mut subnets: Vec<String> = Vec::new();
        for interface in list(instance, "/networkInterfaceSet") {
            let subnet = given(interface, "/subnetId").filter(|subnet| !subnets.contains(subnet));
            subnets.extend(subnet);
        }
        labels.set("__meta_ec2_subnet_id", &joined(subnets.iter(), ","));
    }
    set_tags("__meta_ec2_tag_", instance, "/tagSet", ("/key", "/value"), &mut labels);
    more(&mut labels);
    Some(labels.build())
}

impl Ipv6 {
    fn of(instance: &Value) -> Self {
        let mut found = Self::default();
        if given(instance, "/vpcId").is_none() {
            return found;
        }
        for interface in list(instance, "/networkInterfaceSet") {
            if given(interface, "/subnetId").is_none() {
                continue;
            }
            let place = text(interface, "/attachment/deviceIndex").parse().unwrap_or(0_usize);
            for address in list(interface, "/ipv6AddressesSet") {
                let ip = text(address, "/ipv6Address").into_owned();
                if text(address, "/isPrimaryIpv6") == "true" && place < DEVICE_COUNT_MAX {
                    if found.primary.len() <= place {
                        found.primary.resize(place + 1, String::new());
                    }
                    found.primary[place].clone_from(&ip);
                }
                found.all.push(ip);
            }
        }
        found
    }

    /// The first primary one, or the first.
    fn main(&self) -> Option<&str> {
        let mut all = self.primary.iter().chain(&self.all).map(String::as_str);
        all.find(|address| !address.is_empty())
    }
}
