//! The way to an API server: an address in the configuration, a kubeconfig file, or the account that a pod has.
//! What is asked there is not known here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_config::{
    HttpAuth, HttpClientConfig, KubernetesSdConfig, Secret, Source as SecretSource, TlsConfig,
};
use prom_http_client::{Client, Request, Response};

use super::{
    kubeconfig,
    login::{LoggedIn, Login, Plugin},
};
use crate::group::host_port;

/// Where a pod finds its account. Compat: client-go `rest.InClusterConfig`.
const ACCOUNT_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const UNAUTHORIZED: u16 = 401;

/// An API server, and how to ask it.
#[derive(Clone, Debug)]
pub(super) struct Api {
    way: Way,
    /// Without a slash at its end.
    pub(super) base: String,
    /// The namespace of the pod that this process runs in, if it was asked for.
    pub(super) own_namespace: Option<String>,
}

/// Who asks is known, or a program tells it.
#[derive(Clone, Debug)]
enum Way {
    Plain(Client),
    Login(Arc<Login>),
}

/// A server and a client for it, before anything was tried.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Access {
    pub(super) server: String,
    pub(super) http_client: HttpClientConfig,
    pub(super) own_namespace: Option<String>,
    /// A program that gives credentials.
    pub(super) plugin: Option<Plugin>,
}

/// What a process in a pod is given.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) account_folder: PathBuf,
    pub(super) host: Option<String>,
    pub(super) port: Option<String>,
}

impl Surroundings {
    pub(super) fn real() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            account_folder: ACCOUNT_FOLDER.into(),
            host: var("KUBERNETES_SERVICE_HOST"),
            port: var("KUBERNETES_SERVICE_PORT"),
        }
    }
}

impl Api {
    pub(super) fn new(access: Access, user_agent: &'static str) -> Self {
        let base = access.server.trim_end_matches('/');
        // Compat: client-go `DefaultServerURL`.
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let way = match access.plugin {
            None => Way::Plain(Client::new(access.http_client, user_agent)),
            Some(plugin) => {
                Way::Login(Arc::new(Login::new(plugin, access.http_client, user_agent)))
            }
        };
        Self { way, base, own_namespace: access.own_namespace }
    }

    /// Sends a request with the credentials of this moment.
    ///
    /// # Errors
    /// There is no answer, or nobody says who asks.
    pub(super) async fn send(&self, request: &Request) -> Result<Response, String> {
        let sent = match &self.way {
            Way::Plain(client) => client.send(request).await,
            Way::Login(login) => {
                let LoggedIn { client, generation } = login.client().await?;
                let sent = client.send(request).await;
                if sent.as_ref().is_ok_and(|response| response.status_code() == UNAUTHORIZED) {
                    login.forget(generation).await;
                }
                sent
            }
        };
        sent.map_err(|error| error.to_string())
    }
}

/// Works out how to get to the server. Reads files.
///
/// # Errors
/// A file is missing or cannot be used; this is no pod.
pub(super) fn find_access(
    cfg: &KubernetesSdConfig,
    around: &Surroundings,
) -> Result<Access, String> {
    if !cfg.kubeconfig_file.as_os_str().is_empty() {
        return kubeconfig::read(&cfg.kubeconfig_file);
    }
    match &cfg.api_server {
        Some(url) => Ok(Access {
            server: url.reveal().to_owned(),
            http_client: cfg.http_client.clone(),
            own_namespace: None,
            plugin: None,
        }),
        None => of_pod(cfg, around),
    }
}

fn of_pod(cfg: &KubernetesSdConfig, around: &Surroundings) -> Result<Access, String> {
    let (Some(host), Some(port)) = (&around.host, &around.port) else {
        return Err("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined".to_owned());
    };
    let file = |name: &str| around.account_folder.join(name);
    // Read with each request, as it changes; here it only has to be there.
    let token = file("token");
    read_text(&token)?;
    // Without one the system's authorities count.
    let ca = Some(file("ca.crt")).filter(|path| path.exists()).unwrap_or_default();
    let own_namespace = match cfg.namespaces.own_namespace {
        true => Some(own_namespace(&file("namespace"))?),
        false => None,
    };
    Ok(Access {
        server: format!("https://{}", host_port(host, port)),
        http_client: HttpClientConfig {
            auth: Some(bearer(SecretSource::File(token))),
            tls: TlsConfig { ca_file: ca, ..TlsConfig::default() },
            ..HttpClientConfig::default()
        },
        own_namespace,
        plugin: None,
    })
}

pub(super) fn bearer(credentials: SecretSource<Secret>) -> HttpAuth {
    HttpAuth::Authorization { scheme: "Bearer".to_owned(), credentials }
}

fn own_namespace(file: &Path) -> Result<String, String> {
    let text = read_text(file)
        .map_err(|reason| format!("could not determine the pod's namespace: {reason}"))?;
    match text.is_empty() {
        true => Err("could not read own namespace name (empty file)".to_owned()),
        false => Ok(text),
    }
}

fn read_text(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("open {}: {error}", file.display()))
}

#[cfg(test)]
mod tests;
