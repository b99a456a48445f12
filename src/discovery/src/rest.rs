//! Mechanisms that ask an HTTP API for lists of things: what they share, and one small module for each.
//! How often anything is asked is decided in `polled`.
//!
//! The parts:
//! - [`RestClient`] (`client`) sends a [`Call`], refuses what is no answer, and reads bodies within limits.
//! - [`Paging`] (`paging`) says where the next page is; the client follows it.
//! - `json` hands out the elements of one list, one after the other, so that no tree of a whole answer is
//!   ever built.
//! - [`Rule`]s (`rules`) say how each label comes out of an element.
//! - A [`Table`] (`table`) puts these together: most providers are one, and nothing else.
//!
//! To add a provider:
//! 1. Make a module here with a `Table` in it: where to ask, how to page, which list holds the targets, the
//!    label of each field, the address.
//! 2. If one list is all it takes, write `fn asker(cfg, means) -> TableAsker`. If it takes more (a second
//!    list that names things, one request for each element, a signature), write a type with a [`RestAsker`]
//!    of its own from the same parts; `Rule::apply` does the labels there, too, and what only code can tell
//!    is set after it.
//! 3. Add its line to `asker` below.
//! 4. Test it against a `FakeTarget` that answers as the provider's documentation shows; `tests` has the
//!    answers that every provider must survive.
//!
//! An API that answers with XML uses [`RestClient::fetch`] and `xml`, whose lists are read like those of JSON.

mod ask_error;
mod aws;
mod azure;
mod client;
mod digitalocean;
mod eureka;
mod gce;
mod hetzner;
mod ionos;
pub(crate) mod json;
mod kuma;
mod linode;
mod marathon;
mod moby;
mod nomad;
mod oci;
mod openstack;
mod outscale;
mod ovhcloud;
mod paging;
mod puppetdb;
pub(crate) mod rules;
mod scaleway;
mod stackit;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod triton;
mod uyuni;
mod vultr;
mod xml;

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;
use prom_config::DiscoveryConfig;

pub(crate) use crate::group::host_port;
use crate::{TargetGroup, polled::Means};

pub(crate) use ask_error::AskError;
pub(crate) use azure::AzureMetrics;
pub(crate) use client::{Call, Listing, Refusal, Reply, RestClient, path_part};
pub(crate) use kuma::KumaMetrics;
pub(crate) use paging::Paging;
pub(crate) use rules::{LabelRule, Rule, joined, sanitized};
pub(crate) use table::{Address, Found, Table, TableAsker};

/// Asks one entry of a configuration.
pub(crate) trait RestAsker: fmt::Debug + Send {
    /// All groups there are now.
    ///
    /// # Errors
    /// There is no answer, or none that can be used.
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>>;

    /// Whether its attempts count in `prometheus_sd_refresh_*`; those of a mechanism with metrics of its own
    /// may not.
    fn has_refresh_metrics(&self) -> bool {
        true
    }
}

/// What asks for an entry, and how often; `None` if its mechanism is not one of these.
pub(crate) fn asker(
    cfg: &DiscoveryConfig,
    means: &Means,
) -> Option<(Box<dyn RestAsker>, Duration)> {
    use DiscoveryConfig as Cfg;
    let (asker, every): (Box<dyn RestAsker>, Duration) = match cfg {
        Cfg::Azure(cfg) => (azure::asker(cfg, means), cfg.refresh_interval),
        Cfg::DigitalOcean(cfg) => (Box::new(digitalocean::asker(cfg, means)), cfg.refresh_interval),
        Cfg::Docker(cfg) => (moby::docker::asker(cfg, means), cfg.refresh_interval),
        Cfg::DockerSwarm(cfg) => (moby::swarm::asker(cfg, means), cfg.refresh_interval),
        Cfg::Eureka(cfg) => (eureka::asker(cfg, means), cfg.refresh_interval),
        Cfg::Gce(cfg) => (gce::asker(cfg, means), cfg.refresh_interval),
        Cfg::Hetzner(cfg) => (hetzner::asker(cfg, means), cfg.refresh_interval),
        Cfg::Ionos(cfg) => (ionos::asker(cfg, means), cfg.refresh_interval),
        Cfg::Kuma(cfg) => (kuma::asker(cfg, means), cfg.refresh_interval),
        Cfg::Linode(cfg) => (linode::asker(cfg, means), cfg.refresh_interval),
        Cfg::Marathon(cfg) => (marathon::asker(cfg, means), cfg.refresh_interval),
        Cfg::Nomad(cfg) => (nomad::asker(cfg, means), cfg.refresh_interval),
        Cfg::Oci(cfg) => (oci::asker(cfg, means), cfg.refresh_interval),
        Cfg::Openstack(cfg) => (openstack::asker(cfg, means), cfg.refresh_interval),
        Cfg::Outscale(cfg) => (outscale::asker(cfg, means), cfg.refresh_interval),
        Cfg::Ovhcloud(cfg) => (ovhcloud::asker(cfg, means), cfg.refresh_interval),
        Cfg::PuppetDb(cfg) => (puppetdb::asker(cfg, means), cfg.refresh_interval),
        Cfg::Scaleway(cfg) => (scaleway::asker(cfg, means), cfg.refresh_interval),
        Cfg::Stackit(cfg) => (stackit::asker(cfg, means), cfg.refresh_interval),
        Cfg::Triton(cfg) => (triton::asker(cfg, means), cfg.refresh_interval),
        Cfg::Uyuni(cfg) => (uyuni::asker(cfg, means), cfg.refresh_interval),
        Cfg::Vultr(cfg) => (Box::new(vultr::asker(cfg, means)), cfg.refresh_interval),
        other => return aws::asker(other, means),
    };
    Some((asker, every))
}
