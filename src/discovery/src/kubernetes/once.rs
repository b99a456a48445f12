//! A cluster as it is at one moment, for tools: all lists are read once, and nothing is watched.

use std::sync::Arc;

use futures_util::future::join;
use prom_config::KubernetesSdConfig;
use prom_lifecycle::{Handle, State};
use prom_telemetry::Registry;
use tokio::sync::mpsc;

use super::{
    KubernetesMeans, NEWS_COUNT_MAX,
    api::{Api, find_access},
    cluster::{Cluster, Seen},
    reflector::{End, News, Reflector},
    resource::{Source, sources},
};
use crate::{TargetGroup, polled::Means};

/// All groups there are.
///
/// # Errors
/// There is no way to the server, or a list cannot be read.
pub(crate) async fn discover(
    cfg: &KubernetesSdConfig,
    means: &Means,
) -> Result<Vec<TargetGroup>, String> {
    let means = KubernetesMeans::new(means, &Registry::default());
    let handle = Handle::detached("discovery", State::Ready);
    let (asked, around) = (cfg.clone(), means.around.clone());
    let found = handle.blocking(move || find_access(&asked, &around)).await;
    let access = found.map_err(|error| error.to_string()).flatten()?;
    let api = Api::new(access, means.user_agent);
    let mut cluster = Cluster::new(cfg.attach_metadata.clone());
    for (index, source) in sources(cfg, api.own_namespace.as_deref()).into_iter().enumerate() {
        let (news, receiver) = mpsc::channel(NEWS_COUNT_MAX);
        let source = Arc::new(source);
        let reflector = Reflector {
            index,
            source: Arc::clone(&source),
            api: api.clone(),
            handle: handle.clone(),
            answers: means.answers.clone(),
            metrics: means.metrics.clone(),
            news,
            config: "".into(),
        };
        // The reflector ends with its list, and so do the news.
        let list = async move { reflector.list(Seen { source: index, list: 1 }, true).await };
        let (listed, ()) = join(list, take(receiver, &source, &mut cluster)).await;
        match listed {
            Err(End::Passing(err) | End::Failed(err)) if !source.is_optional => return Err(err),
            Err(End::Expired) => return Err(format!("the list {} expired", source.path())),
            _ => {}
        }
    }
    cluster.make_groups(usize::MAX);
    Ok(cluster.groups().iter().map(|group| (**group).clone()).collect())
}

async fn take(mut news: mpsc::Receiver<News>, source: &Source, cluster: &mut Cluster) {
    while let Some(told) = news.recv().await {
        let News::Objects { seen, objects } = told else { continue };
        for object in objects {
            match source.is_primary {
                true => cluster.put_primary(seen, object),
                false => cluster.put_other(seen, source.resource, object),
            };
        }
    }
}
