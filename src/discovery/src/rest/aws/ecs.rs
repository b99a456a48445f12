//! `ecs_sd_configs`: tasks of container clusters. Compat: Prometheus `discovery/aws/ecs.go`;
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>.
//! Unlike there, a cluster that cannot be described is an error of the whole: none of its targets vanishes.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::BoxFuture;
use prom_model::{Labels, LabelsBuilder};
use serde_json::{Value, json};

use super::{
    Asked, AwsClient, Entry, at_once,
    client::{Service, pages},
    ec2, given, group, set_tags,
};
use crate::{
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, LabelRule, RestAsker,
        Rule::{self, Text},
        host_port,
        rules::{list, text},
    },
};

static ECS: Service =
    Service { name: "ECS", id: "ecs", version: "AmazonEC2ContainerServiceV20141113" };

/// Most things that the API describes at once.
const DESCRIBED_COUNT_MAX: usize = 100;
const SERVICES_COUNT_MAX: usize = 10;
const NETWORK_INTERFACE: &str = "ElasticNetworkInterface";
const TAG: (&str, &str) = ("/key", "/value");
const EC2_TAG: (&str, &str) = ("/key", "/value");

const PREFIX: &str = "__meta_ecs_";
static TASK_LABELS: [LabelRule; 11] = [
    ("launch_type", Text("/launchType")),
    ("health_status", Text("/healthStatus")),
    ("task_group", Text("/group")),
    ("task_arn", Text("/taskArn")),
    ("task_definition", Text("/taskDefinitionArn")),
    ("availability_zone", Text("/availabilityZone")),
    ("desired_status", Text("/desiredStatus")),
    ("last_status", Text("/lastStatus")),
    ("container_instance_arn", Text("/containerInstanceArn")),
    ("platform_family", Text("/platformFamily")),
    ("platform_version", Text("/platformVersion")),
];
static CLUSTER_LABELS: [LabelRule; 2] =
    [("cluster_arn", Text("/clusterArn")), ("cluster", Text("/clusterName"))];
static SERVICE_LABELS: [LabelRule; 3] = [
    ("service", Text("/serviceName")),
    ("service_arn", Text("/serviceArn")),
    ("service_status", Text("/status")),
];

#[derive(Debug)]
pub(super) struct EcsAsker {
    client: AwsClient,
    machines: AwsClient,
    entry: Entry,
}

/// What belongs to the tasks of one cluster.
struct Surroundings<'c> {
    region: &'c str,
    cluster: &'c Value,
    /// By name.
    services: HashMap<String, Value>,
    /// Machines by the container instances on them.
    machine_ids: HashMap<String, String>,
    /// By their ids.
    machines: HashMap<String, Value>,
    /// Public addresses by network interface.
    public_ips: HashMap<String, String>,
}

impl EcsAsker {
    pub(super) fn new(entry: Entry, means: &Means) -> Self {
        let client = AwsClient::new(&ECS, &entry, means);
        Self { machines: client.beside(&ec2::EC2, &entry, means), client, entry }
    }

    async fn targets(&self) -> Asked {
        let region = self.client.region().await?;
        let arns = match self.entry.clusters.is_empty() {
            true => self.list("ListClusters", "/clusterArns", &json!({})).await?,
            false => self.entry.clusters.clone(),
        };
        let include = json!({"include": ["TAGS"]});
        let clusters = self.describe("DescribeClusters", "clusters", &arns, &include).await?;
        let mut targets = Vec::new();
        for cluster in &clusters {
            targets.extend(self.tasks(&region, cluster).await?);
        }
        Ok(group(&region, targets))
    }

    async fn tasks(&self, region: &str, cluster: &Value) -> Result<Vec<Labels>, AskError> {
        let in_cluster = json!({"cluster": text(cluster, "/clusterArn")});
        let arns = self.list("ListTasks", "/taskArns", &in_cluster).await?;
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let include = json!({"cluster": text(cluster, "/clusterArn"), "include": ["TAGS"]});
        let tasks = self.describe("DescribeTasks", "tasks", &arns, &include).await?;
        let services = self.list("ListServices", "/serviceArns", &in_cluster).await?;
        let services = self.describe("DescribeServices", "services", &services, &include).await?;
        let instances = tasks.iter().filter_map(|task| given(task, "/containerInstanceArn"));
        let instances: Vec<String> = instances.collect::<BTreeSet<_>>().into_iter().collect();
        let action = "DescribeContainerInstances";
        let instances =
            self.describe(action, "containerInstances", &instances, &in_cluster).await?;
        let by = |things: Vec<Value>, key: &str| -> HashMap<String, Value> {
            things.into_iter().map(|it| (text(&it, key).into_owned(), it)).collect()
        };
        let machine_ids: HashMap<String, String> = instances
            .iter()
            .filter_map(|it| {
                Some((given(it, "/containerInstanceArn")?, given(it, "/ec2InstanceId")?))
            })
            .collect();
        let machines = self.machines_of(&machine_ids).await?;
        let around = Surroundings {
            region,
            cluster,
            services: by(services, "/serviceName"),
            machine_ids,
            machines: by(machines, "/instanceId"),
            public_ips: self.public_ips(&tasks).await?,
        };
        Ok(tasks.iter().filter_map(|task| around.target(task, self.entry.port)).collect())
    }

    /// All of a list of names.
    async fn list(&self, action: &str, at: &str, body: &Value) -> Result<Vec<String>, AskError> {
        let listed = pages(at, "/nextToken", async |token| {
            let mut body = body.clone();
            body["maxResults"] = DESCRIBED_COUNT_MAX.into();
            if let Some(token) = token {
                body["nextToken"] = token.into();
            }
            self.client.json(action, &body).await
        });
        let listed = listed.await.map_err(|error| during(error, action, body))?;
        Ok(listed.iter().map(|name| text(name, "").into_owned()).collect())
    }

    /// What the names of a list stand for; `key` names it in the question and in the answer.
    async fn describe(
        &self,
        action: &str,
        key: &str,
        names: &[String],
        body: &Value,
    ) -> Result<Vec<Value>, AskError> {
        let count = if key == "services" { SERVICES_COUNT_MAX } else { DESCRIBED_COUNT_MAX };
        let described = |names: &'_ [String]| {
            let mut asked = body.clone();
            asked[key] = names.into();
            async move {
                let answer = self.client.json(action, &asked).await;
                let mut answer = answer.map_err(|error| during(error, action, body))?;
                match answer.get_mut(key).map(Value::take) {
                    Some(Value::Array(things)) => Ok(things),
                    _ => Ok(Vec::new()),
                }
            }
        };
        let described = names.chunks(count).map(described).collect();
        let described = at_once(described, self.entry.request_count()).await?;
        Ok(described.concat())
    }

    async fn machines_of(
        &self,
        machine_ids: &HashMap<String, String>,
    ) -> Result<Vec<Value>, AskError> {
        let ids: BTreeSet<&String> = machine_ids.values().collect();
        let parameters = numbered("InstanceId", ids);
        let mut machines = Vec::new();
        let mut take = |reservation: Value| {
            machines.extend_from_slice(list(&reservation, "/instancesSet"));
            Ok(())
        };
        let path = ["reservationSet", "item"];
        self.ask_machines("DescribeInstances", &parameters, &path, &mut take).await?;
        Ok(machines)
    }

    /// Of the network interfaces of tasks, which have public addresses of their own.
    async fn public_ips(&self, tasks: &[Value]) -> Result<HashMap<String, String>, AskError> {
        let interfaces: BTreeSet<String> =
            tasks.iter().filter_map(|task| attached(task, "networkInterfaceId")).collect();
        let parameters = numbered("NetworkInterfaceId", &interfaces);
        let mut public_ips = HashMap::new();
        let mut take = |interface: Value| {
            let public_ip = given(&interface, "/association/publicIp");
            let id = text(&interface, "/networkInterfaceId").into_owned();
            public_ips.extend(public_ip.map(|public_ip| (id, public_ip)));
            Ok(())
        };
        let path = ["networkInterfaceSet", "item"];
        self.ask_machines("DescribeNetworkInterfaces", &parameters, &path, &mut take).await?;
        Ok(public_ips)
    }

    /// Asks for things by their ids, so many at a time; nothing is asked for none.
    async fn ask_machines(
        &self,
        action: &str,
        parameters: &[(String, String)],
        path: &[&str],
        each: &mut (dyn FnMut(Value) -> Result<(), String> + Send),
    ) -> Result<(), AskError> {
        for parameters in parameters.chunks(DESCRIBED_COUNT_MAX) {
            let asked = self.machines.query(action, parameters, path, ec2::NEXT, each);
            asked.await.map_err(|error| error.during("could not describe EC2 instances"))?;
        }
        Ok(())
    }
}

impl RestAsker for EcsAsker {
    fn ask(&mut self) -> BoxFuture<'_, Asked> {
        Box::pin(self.targets())
    }
}

impl Surroundings<'_> {
    /// The target that a task is; none if it has no address.
    fn target(&self, task: &Value, port: i64) -> Option<Labels> {
        let instance = given(task, "/containerInstanceArn");
        let machine_id = instance.as_ref().and_then(|arn| self.machine_ids.get(arn));
        let machine = machine_id.and_then(|id| self.machines.get(id));
        let of_machine = |at: &str| machine.and_then(|machine| given(machine, at));
        let mut labels = LabelsBuilder::default();
        let (ip, subnet, public_ip) = match has_interface(task) {
            true => {
                labels.set("__meta_ecs_network_mode", "awsvpc");
                let interface = attached(task, "networkInterfaceId").unwrap_or_default();
                let public_ip = self.public_ips.get(&interface).cloned();
                (attached(task, "privateIPv4Address"), attached(task, "subnetId"), public_ip)
            }
            false => {
                labels.set("__meta_ecs_network_mode", "bridge");
                let of = [
                    of_machine("/privateIpAddress"),
                    of_machine("/subnetId"),
                    of_machine("/ipAddress"),
                ];
                of.into()
            }
        };
        let ip = ip?;
        let mut set = |name: &str, value: Option<&str>| {
            labels.set(&format!("{PREFIX}{name}"), value.unwrap_or_default());
        };
        set("ip_address", Some(&ip));
        set("region", Some(self.region));
        set("subnet_id", subnet.as_deref());
        set("public_ip", public_ip.as_deref());
        set("ec2_instance_id", machine_id.map(String::as_str));
        set("ec2_instance_type", of_machine("/instanceType").as_deref());
        set("ec2_instance_private_ip", of_machine("/privateIpAddress").as_deref());
        set("ec2_instance_public_ip", of_machine("/ipAddress").as_deref());
        labels.set(ADDRESS, &host_port(&ip, port));
        Rule::apply(&TASK_LABELS, PREFIX, task, &mut labels);
        Rule::apply(&CLUSTER_LABELS, PREFIX, self.cluster, &mut labels);
        set_tags("__meta_ecs_tag_cluster_", self.cluster, "/tags", TAG, &mut labels);
        let group = text(task, "/group");
        if let Some(service) = group.strip_prefix("service:").and_then(|it| self.services.get(it)) {
            Rule::apply(&SERVICE_LABELS, PREFIX, service, &mut labels);
            set_tags("__meta_ecs_tag_service_", service, "/tags", TAG, &mut labels);
        }
        set_tags("__meta_ecs_tag_task_", task, "/tags", TAG, &mut labels);
        if let Some(machine) = machine {
            set_tags("__meta_ecs_tag_ec2_", machine, "/tagSet", EC2_TAG, &mut labels);
        }
        Some(labels.build())
    }
}

/// Whether a task has a network interface of its own.
fn has_interface(task: &Value) -> bool {
    list(task, "/attachments").iter().any(|it| text(it, "/type") == NETWORK_INTERFACE)
}

/// A detail of a task's network interface.
fn attached(task: &Value, name: &str) -> Option<String> {
    let interface =
        list(task, "/attachments").iter().find(|it| text(it, "/type") == NETWORK_INTERFACE)?;
    let detail = list(interface, "/details").iter().find(|it| text(it, "/name") == name)?;
    given(detail, "/value")
}

fn numbered<'i>(name: &str, ids: impl IntoIterator<Item = &'i String>) -> Vec<(String, String)> {
    let parameter = |(id, number): (&String, usize)| (format!("{name}.{number}"), id.clone());
    // Numbers have to begin at 1 for each request.
    let number = (1..=DESCRIBED_COUNT_MAX).cycle();
    ids.into_iter().zip(number).map(parameter).collect()
}

fn during(error: AskError, action: &str, body: &Value) -> AskError {
    let what = match action {
        "ListClusters" => "list clusters",
        "DescribeClusters" => "describe clusters",
        "ListServices" => "list services",
        "DescribeServices" => "describe services",
        "ListTasks" => "list tasks",
        "DescribeTasks" => "describe tasks",
        _ => "describe container instances",
    };
    match given(body, "/cluster") {
        Some(cluster) => error.during(format_args!("could not {what} for cluster {cluster:?}")),
        None => error.during(format_args!("could not {what}")),
    }
}
