//! Service discovery: one section per mechanism, all of them checked plain data. What runs them is decided
//! elsewhere.

mod aws;
mod cloud;
mod hosts;
mod kubernetes;
mod registries;

use std::path::Path;

use crate::{
    check::Checker,
    key_path::KeyPath,
    print::{Map, Value},
    raw::Nullable,
    section::Field,
};

pub use aws::{
    AwsFilter, AwsSdConfig, Ec2SdConfig, EcsSdConfig, ElasticacheSdConfig, LightsailSdConfig,
    MskSdConfig, RdsSdConfig,
};
pub use cloud::{
    AzureSdConfig, DigitalOceanSdConfig, GceSdConfig, HetznerSdConfig, IonosSdConfig,
    LinodeSdConfig, OciSdConfig, OpenstackSdConfig, OutscaleSdConfig, OvhcloudSdConfig,
    ScalewaySdConfig, StackitSdConfig, VultrSdConfig,
};
pub use hosts::{
    DnsSdConfig, DockerFilter, DockerSdConfig, DockerSwarmSdConfig, FileSdConfig, HttpSdConfig,
    PuppetDbSdConfig, TritonSdConfig, UyuniSdConfig,
};
pub use kubernetes::{
    KubernetesMetadata, KubernetesNamespaces, KubernetesSdConfig, KubernetesSelector,
};
pub use registries::{
    ConsulSdConfig, EurekaSdConfig, KumaSdConfig, MarathonSdConfig, NerveSdConfig, NomadSdConfig,
    ServersetSdConfig,
};

/// Declares the mechanisms in the order of their keys.
macro_rules! mechanisms {
    ($($variant:ident($checked:ident, $raw:path) $field:ident = $name:literal, $go:literal;)*) => {
        /// One entry of a `*_sd_configs` list.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum DiscoveryConfig {
            $($variant(Box<$checked>),)*
        }

        impl DiscoveryConfig {
            /// The name of the mechanism, as in `prometheus_sd_discovered_targets{name}`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The key of the lists of this mechanism.
            pub fn key(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($field),)*
                }
            }

            /// Files with secrets and certificates; for `file_sd_configs` the patterns of its files.
            pub(crate) fn files<'f>(&'f self, files: &mut Vec<&'f Path>) {
                match self {
                    $(Self::$variant(config) => config.files(files),)*
                }
            }

            fn show(&self) -> Value {
                match self {
                    $(Self::$variant(config) => config.show(),)*
                }
            }
        }

        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(rename = "#sd", default)]
        pub(crate) struct RawDiscovery {
            $(pub(crate) $field: Nullable<$raw>,)*
        }

        impl RawDiscovery {
            pub(crate) const KEYS: &[&str] = &[$(stringify!($field)),*];

            /// The type that Prometheus names for the list of a mechanism.
            pub(crate) fn list_type(key: &str) -> Option<&'static str> {
                match key {
                    $(stringify!($field) => Some($go),)*
                    _ => None,
                }
            }

            /// Checks all mechanisms of a job or a set of Alertmanagers.
            pub(crate) fn check(
                self,
                checker: &mut Checker<'_>,
                at: &KeyPath<'_>,
            ) -> Vec<DiscoveryConfig> {
                let mut configs = Vec::new();
                $(
                    let checked: Vec<$checked> =
                        Field::check(self.$field, checker, &at.key(stringify!($field)));
                    configs.extend(
                        checked.into_iter().map(|it| DiscoveryConfig::$variant(Box::new(it))),
                    );
                )*
                configs
            }
        }
    };
}

mechanisms! {
    Aws(AwsSdConfig, aws::RawAws) aws_sd_configs = "aws", "[]*aws.SDConfig";
    Azure(AzureSdConfig, cloud::RawAzure) azure_sd_configs = "azure", "[]*azure.SDConfig";
    Consul(ConsulSdConfig, registries::RawConsul) consul_sd_configs = "consul", "[]*consul.SDConfig";
    DigitalOcean(DigitalOceanSdConfig, cloud::RawDigitalOcean) digitalocean_sd_configs = "digitalocean", "[]*digitalocean.SDConfig";
    Dns(DnsSdConfig, hosts::RawDns) dns_sd_configs = "dns", "[]*dns.SDConfig";
    Docker(DockerSdConfig, hosts::RawDocker) docker_sd_configs = "docker", "[]*moby.DockerSDConfig";
    DockerSwarm(DockerSwarmSdConfig, hosts::RawDockerSwarm) dockerswarm_sd_configs = "dockerswarm", "[]*moby.DockerSwarmSDConfig";
    Ec2(Ec2SdConfig, aws::RawEc2) ec2_sd_configs = "ec2", "[]*aws.EC2SDConfig";
    Ecs(EcsSdConfig, aws::RawEcs) ecs_sd_configs = "ecs", "[]*aws.ECSSDConfig";
    Elasticache(ElasticacheSdConfig, aws::RawElasticache) elasticache_sd_configs = "elasticache", "[]*aws.ElasticacheSDConfig";
    Eureka(EurekaSdConfig, registries::RawEureka) eureka_sd_configs = "eureka", "[]*eureka.SDConfig";
    File(FileSdConfig, hosts::RawFile) file_sd_configs = "file", "[]*file.SDConfig";
    Gce(GceSdConfig, cloud::RawGce) gce_sd_configs = "gce", "[]*gce.SDConfig";
    Hetzner(HetznerSdConfig, cloud::RawHetzner) hetzner_sd_configs = "hetzner", "[]*hetzner.SDConfig";
    Http(HttpSdConfig, hosts::RawHttp) http_sd_configs = "http", "[]*http.SDConfig";
    Ionos(IonosSdConfig, cloud::RawIonos) ionos_sd_configs = "ionos", "[]*ionos.SDConfig";
    Kubernetes(KubernetesSdConfig, kubernetes::RawKubernetes) kubernetes_sd_configs = "kubernetes", "[]*kubernetes.SDConfig";
    Kuma(KumaSdConfig, registries::RawKuma) kuma_sd_configs = "kuma", "[]*xds.KumaSDConfig";
    Lightsail(LightsailSdConfig, aws::RawLightsail) lightsail_sd_configs = "lightsail", "[]*aws.LightsailSDConfig";
    Linode(LinodeSdConfig, cloud::RawLinode) linode_sd_configs = "linode", "[]*linode.SDConfig";
    Marathon(MarathonSdConfig, registries::RawMarathon) marathon_sd_configs = "marathon", "[]*marathon.SDConfig";
    Msk(MskSdConfig, aws::RawMsk) msk_sd_configs = "msk", "[]*aws.MSKSDConfig";
    Nerve(NerveSdConfig, registries::RawNerve) nerve_sd_configs = "nerve", "[]*zookeeper.NerveSDConfig";
    Nomad(NomadSdConfig, registries::RawNomad) nomad_sd_configs = "nomad", "[]*nomad.SDConfig";
    Oci(OciSdConfig, cloud::RawOci) oci_sd_configs = "oci", "[]*oci.SDConfig";
    Openstack(OpenstackSdConfig, cloud::RawOpenstack) openstack_sd_configs = "openstack", "[]*openstack.SDConfig";
    Outscale(OutscaleSdConfig, cloud::RawOutscale) outscale_sd_configs = "outscale", "[]*outscale.SDConfig";
    Ovhcloud(OvhcloudSdConfig, cloud::RawOvhcloud) ovhcloud_sd_configs = "ovhcloud", "[]*ovhcloud.SDConfig";
    PuppetDb(PuppetDbSdConfig, hosts::RawPuppetDb) puppetdb_sd_configs = "puppetdb", "[]*puppetdb.SDConfig";
    Rds(RdsSdConfig, aws::RawRds) rds_sd_configs = "rds", "[]*aws.RDSSDConfig";
    Scaleway(ScalewaySdConfig, cloud::RawScaleway) scaleway_sd_configs = "scaleway", "[]*scaleway.SDConfig";
    Serverset(ServersetSdConfig, registries::RawServerset) serverset_sd_configs = "serverset", "[]*zookeeper.ServersetSDConfig";
    Stackit(StackitSdConfig, cloud::RawStackit) stackit_sd_configs = "stackit", "[]*stackit.SDConfig";
    Triton(TritonSdConfig, hosts::RawTriton) triton_sd_configs = "triton", "[]*triton.SDConfig";
    Uyuni(UyuniSdConfig, hosts::RawUyuni) uyuni_sd_configs = "uyuni", "[]*uyuni.SDConfig";
    Vultr(VultrSdConfig, cloud::RawVultr) vultr_sd_configs = "vultr", "[]*vultr.SDConfig";
}

/// Prints the lists of all mechanisms, each under its key.
pub(crate) fn put_discovery(configs: &[DiscoveryConfig], map: &mut Map) {
    for of_kind in configs.chunk_by(|one, other| one.key() == other.key()) {
        let values = of_kind.iter().map(DiscoveryConfig::show);
        map.put_list(of_kind.first().map_or("", DiscoveryConfig::key), values);
    }
}

/// A field that must not be empty.
fn require(text: &str, key: &str, message: &str, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if text.is_empty() {
        checker.report(&at.key(key), message);
    }
}
