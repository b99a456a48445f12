//! Kubeconfig files: which server the current context names, and who asks it.
//! Compat: client-go `tools/clientcmd`. Providers of tokens (`auth-provider`), which it has given up, are refused by
//! name.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use prom_config::{
    HttpAuth, HttpClientConfig, HttpHeader, ProxyConfig, Secret, Source, TlsConfig, Url,
    decode_base64,
};
use prom_http_client::{Program, base64};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{Access, bearer},
    login::Plugin,
};

/// Larger files are refused.
const FILE_SIZE_BYTES_MAX: u64 = 4 << 20;
/// What programs may speak; the first one wants to be told whether somebody could answer questions.
const EXEC_VERSIONS: [&str; 2] =
    ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
/// What a cluster has for programs.
const EXEC_EXTENSION: &str = "client.authentication.k8s.io/exec";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RawFile {
    current_context: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default)]
    cluster: RawCluster,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: Option<RawUser>,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: RawContext,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RawCluster {
    server: String,
    tls_server_name: String,
    insecure_skip_tls_verify: bool,
    certificate_authority: String,
    certificate_authority_data: String,
    proxy_url: String,
    extensions: Option<Vec<RawExtension>>,
}

/// What else a cluster is told to have.
#[derive(Clone, Debug, Deserialize)]
struct RawExtension {
    name: String,
    #[serde(default)]
    extension: serde_yaml::Value,
}

/// No `Debug`: most of it is secret.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RawUser {
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    username: String,
    password: String,
    #[serde(rename = "as")]
    impersonate: String,
    as_uid: String,
    as_groups: Vec<String>,
    as_user_extra: BTreeMap<String, Vec<String>>,
    exec: Option<RawExec>,
    auth_provider: Option<RawProvider>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawExec {
    api_version: String,
    command: String,
    args: Option<Vec<String>>,
    env: Option<Vec<RawVariable>>,
    install_hint: String,
    interactive_mode: String,
    provide_cluster_info: bool,
}

#[derive(Clone, Deserialize)]
struct RawVariable {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawProvider {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawContext {
    cluster: String,
    user: String,
}

impl std::fmt::Debug for RawUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawUser").finish_non_exhaustive()
    }
}

/// Reads a file.
///
/// # Errors
/// The file cannot be read, names nothing, or wants what this build cannot do.
pub(super) fn read(path: &Path) -> Result<Access, String> {
    let shown = path.display();
    let text = String::from_utf8(read_file(path)?)
        .map_err(|_| format!("kubeconfig {shown}: not a kubeconfig"))?;
    parse(&text, path.parent().unwrap_or(Path::new(""))).map_err(|reason| {
        // Reasons name keys and places, never a value of a user.
        format!("kubeconfig {shown}: {reason}")
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("open {shown}: {error}");
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(format!("open {shown}: not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > FILE_SIZE_BYTES_MAX {
        true => Err(format!("{shown} is larger than {FILE_SIZE_BYTES_MAX} bytes")),
        false => Ok(bytes),
    }
}

/// Paths in the file begin at `folder`.
fn parse(text: &str, folder: &Path) -> Result<Access, String> {
    let raw: RawFile = serde_yaml::from_str(text).map_err(|error| match error.location() {
        // The text of the error may quote a token.
        Some(at) => format!("not a kubeconfig at line {} column {}", at.line(), at.column()),
        None => "not a kubeconfig".to_owned(),
    })?;
    let current = raw.current_context.unwrap_or_default();
    if current.is_empty() {
        return Err("no current-context is set".to_owned());
    }
    let contexts = raw.contexts.unwrap_or_default();
    let context = contexts.into_iter().find(|it| it.name == current).map(|it| it.context);
    let context = context.ok_or_else(|| format!("context {current:?} does not exist"))?;
    let clusters = raw.clusters.unwrap_or_default();
    let cluster = clusters.into_iter().find(|it| it.name == context.cluster).map(|it| it.cluster);
    let cluster = cluster.ok_or_else(|| format!("cluster {:?} does not exist", context.cluster))?;
    let users = raw.users.unwrap_or_default();
    let user = match users.into_iter().find(|it| it.name == context.user) {
        Some(named) => named.user.unwrap_or_default(),
        None if context.user.is_empty() => RawUser::default(),
        None => return Err(format!("user {:?} does not exist", context.user)),
    };
    refuse_provider(&context.user, &user)?;
    if cluster.server.is_empty() {
        return Err(format!("cluster {:?} has no server", context.cluster));
    }
    if cluster.insecure_skip_tls_verify
        && !(cluster.certificate_authority.is_empty()
            && cluster.certificate_authority_data.is_empty())
    {
        return Err(
            "specifying a root certificates file with the insecure flag is not allowed".to_owned()
        );
    }
    let auth = auth(&user, folder);
    // Whoever has a token needs no program.
    let exec = user.exec.as_ref().filter(|_| auth.is_none());
    let plugin = exec.map(|exec| plugin(exec, &context.user, &cluster, folder)).transpose()?;
    Ok(Access {
        http_client: HttpClientConfig {
            auth,
            tls: tls(&cluster, &user, folder)?,
            proxy: proxy(&cluster)?,
            http_headers: impersonation(&user),
            ..HttpClientConfig::default()
        },
        server: cluster.server,
        own_namespace: None,
        plugin,
    })
}

fn refuse_provider(name: &str, user: &RawUser) -> Result<(), String> {
    match &user.auth_provider {
        Some(RawProvider { name: provider }) => Err(format!(
            "user {name:?} wants the auth-provider {provider:?}, which this build has not; give it an exec plugin, a token, a tokenFile or a client certificate"
        )),
        None => Ok(()),
    }
}

/// Compat: client-go `clientcmd.validateAuthInfo`; its texts.
fn plugin(
    exec: &RawExec,
    user: &str,
    cluster: &RawCluster,
    folder: &Path,
) -> Result<Plugin, String> {
    let needed = |what: &str| {
        Err(format!("{what} must be specified for {user} to use exec authentication plugin"))
    };
    let variables = exec.env.iter().flatten();
    if exec.command.is_empty() {
        return needed("command");
    }
    if exec.api_version.is_empty() {
        return needed("apiVersion");
    }
    if variables.clone().any(|variable| variable.name.is_empty()) {
        return needed("env variable name");
    }
    if !EXEC_VERSIONS.contains(&exec.api_version.as_str()) {
        return Err(format!("exec plugin: invalid apiVersion {:?}", exec.api_version));
    }
    match exec.interactive_mode.as_str() {
        "" if exec.api_version == EXEC_VERSIONS[0] => return needed("interactiveMode"),
        "" | "Never" | "IfAvailable" => {}
        "Always" => {
            return Err(
                "exec plugin cannot support interactive mode: standard input is not a terminal"
                    .to_owned(),
            );
        }
        other => return Err(format!("invalid interactiveMode for {user}: {other:?}")),
    }
    let mut spec = json!({"interactive": false});
    if exec.provide_cluster_info {
        spec["cluster"] = cluster_info(cluster, folder)?;
    }
    let info = json!({"kind": "ExecCredential", "apiVersion": exec.api_version, "spec": spec});
    let given = variables.map(|variable| (variable.name.clone(), variable.value.clone()));
    let info = ("KUBERNETES_EXEC_INFO".to_owned(), info.to_string());
    // A path begins at the folder of the file, a name is looked for.
    let command = match exec.command.contains('/') {
        true => resolve(folder, &exec.command),
        false => PathBuf::from(&exec.command),
    };
    Ok(Plugin {
        program: Program {
            command,
            args: exec.args.clone().unwrap_or_default(),
            env: given.chain([info]).collect(),
        },
        api_version: exec.api_version.clone(),
        install_hint: exec.install_hint.clone(),
    })
}

/// What a program may want to know about the server. Compat: client-go `ConfigToExecCluster`.
fn cluster_info(cluster: &RawCluster, folder: &Path) -> Result<Value, String> {
    let mut info = json!({"server": cluster.server});
    let mut set = |key: &str, value: Value| info[key] = value;
    if !cluster.tls_server_name.is_empty() {
        set("tls-server-name", cluster.tls_server_name.as_str().into());
    }
    if cluster.insecure_skip_tls_verify {
        set("insecure-skip-tls-verify", true.into());
    }
    let (data, file) = (cluster.certificate_authority_data.trim(), &cluster.certificate_authority);
    if !data.is_empty() {
        set("certificate-authority-data", data.into());
    } else if !file.is_empty() {
        let bytes = read_file(&resolve(folder, file))?;
        set("certificate-authority-data", base64(&bytes).into());
    }
    if !cluster.proxy_url.is_empty() {
        set("proxy-url", cluster.proxy_url.as_str().into());
    }
    let extensions = cluster.extensions.iter().flatten();
    if let Some(own) = extensions.into_iter().find(|it| it.name == EXEC_EXTENSION) {
        let config = serde_json::to_value(&own.extension);
        set("config", config.map_err(|_| format!("extension {EXEC_EXTENSION:?} is not JSON"))?);
    }
    Ok(info)
}

fn auth(user: &RawUser, folder: &Path) -> Option<HttpAuth> {
    if !user.token_file.is_empty() {
        // It takes the place of a token that is written beside it.
        return Some(bearer(Source::File(resolve(folder, &user.token_file))));
    }
    if !user.token.is_empty() {
        return Some(bearer(Source::Inline(Secret::new(user.token.as_str()))));
    }
    (!user.username.is_empty()).then(|| HttpAuth::Basic {
        username: Source::Inline(user.username.clone()),
        password: Source::Inline(Secret::new(user.password.as_str())),
    })
}

/// What is written in the file itself takes the place of a path.
fn tls(cluster: &RawCluster, user: &RawUser, folder: &Path) -> Result<TlsConfig, String> {
    let inline = |key: &str, data: &str| match data.is_empty() {
        true => Ok(String::new()),
        false => decode_base64(data.trim())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| format!("{key} is not a text in base64")),
    };
    let file = |path: &str, data: &str| match path.is_empty() || !data.is_empty() {
        true => PathBuf::new(),
        false => resolve(folder, path),
    };
    let key = inline("client-key-data", &user.client_key_data)?;
    Ok(TlsConfig {
        ca: inline("certificate-authority-data", &cluster.certificate_authority_data)?,
        ca_file: file(&cluster.certificate_authority, &cluster.certificate_authority_data),
        cert: inline("client-certificate-data", &user.client_certificate_data)?,
        cert_file: file(&user.client_certificate, &user.client_certificate_data),
        key: Secret::new(key),
        key_file: file(&user.client_key, &user.client_key_data),
        server_name: cluster.tls_server_name.clone(),
        insecure_skip_verify: cluster.insecure_skip_tls_verify,
        ..TlsConfig::default()
    })
}

fn proxy(cluster: &RawCluster) -> Result<ProxyConfig, String> {
    let proxy_url = match cluster.proxy_url.as_str() {
        "" => None,
        url => Some(Url::parse(url).map_err(|reason| format!("proxy-url: {reason}"))?),
    };
    Ok(ProxyConfig { proxy_url, ..ProxyConfig::default() })
}

/// Compat: client-go `transport.NewImpersonatingRoundTripper`.
fn impersonation(user: &RawUser) -> Vec<HttpHeader> {
    let header = |name: &str, values: Vec<String>| HttpHeader {
        name: name.to_owned(),
        values,
        secrets: Vec::new(),
        files: Vec::new(),
    };
    let mut headers = Vec::new();
    if !user.impersonate.is_empty() {
        headers.push(header("Impersonate-User", vec![user.impersonate.clone()]));
    }
    if !user.as_uid.is_empty() {
        headers.push(header("Impersonate-Uid", vec![user.as_uid.clone()]));
    }
    if !user.as_groups.is_empty() {
        headers.push(header("Impersonate-Group", user.as_groups.clone()));
    }
    for (name, values) in &user.as_user_extra {
        headers.push(header(&format!("Impersonate-Extra-{name}"), values.clone()));
    }
    headers
}

fn resolve(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}

#[cfg(test)]
mod tests;
