//! Providers that are one list: a table says all of it.

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, RestAsker, RestClient, Rule, host_port, rules::text,
};
use crate::{TargetGroup, group::ADDRESS};

/// How one list of a provider is asked for and read.
#[derive(Debug)]
pub(crate) struct Table {
    /// Of the only group there is. Compat: `targetgroup.Group.Source` of the original.
    pub(crate) source: &'static str,
    pub(crate) listing: Listing,
    /// Before the name of each label.
    pub(crate) prefix: &'static str,
    pub(crate) labels: &'static [LabelRule],
    pub(crate) address: Address,
}

/// Where a target's address comes from; the port is the configuration's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Address {
    /// The host at a place, whatever it is.
    Host(&'static str),
    /// Whatever takes code.
    Code(fn(&Value) -> Found<'_>),
}

/// What code says about a host.
#[derive(Debug)]
pub(crate) enum Found<'v> {
    Host(Cow<'v, str>),
    /// A target without an address; whoever wants it has rules that give it one.
    NoHost,
    NoTarget,
}

/// Asks for the list of a table.
#[derive(Debug)]
pub(crate) struct TableAsker {
    pub(crate) table: &'static Table,
    pub(crate) client: RestClient,
    pub(crate) call: Call,
    pub(crate) port: i64,
}

impl Table {
    /// The target that a thing of the list is, if it is one. `more` sets what no rule can tell.
    pub(crate) fn target(
        &self,
        thing: &Value,
        port: i64,
        more: impl FnOnce(&mut LabelsBuilder),
    ) -> Option<Labels> {
        let host = match self.address {
            Address::Host(at) => Some(text(thing, at)),
            Address::Code(find) => match find(thing) {
                Found::Host(host) => Some(host),
                Found::NoHost => None,
                Found::NoTarget => return None,
            },
        };
        let mut labels = LabelsBuilder::default();
        Rule::apply(self.labels, self.prefix, thing, &mut labels);
        if let Some(host) = host {
            labels.set(ADDRESS, &host_port(&host, port));
        }
        more(&mut labels);
        Some(labels.build())
    }

    /// The only group.
    pub(crate) fn group(&self, targets: Vec<Labels>) -> Vec<TargetGroup> {
        vec![TargetGroup { source: self.source.into(), targets, labels: Labels::empty() }]
    }
}

impl RestAsker for TableAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let mut targets = Vec::new();
            let mut take = |thing: Value| {
                targets.extend(self.table.target(&thing, self.port, |_| {}));
                Ok(())
            };
            self.client.list(&self.call, &self.table.listing, &mut take).await?;
            Ok(self.table.group(targets))
        })
    }
}
