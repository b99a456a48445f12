//! The sections that are tables of keys: their names, types, defaults and rules. Sections that inherit from
//! `global` are checked in `check`.
//! Compat: prometheus `config/config.go`, `discovery/*`, `storage/remote/*` of 3.14; prometheus/common
//! `config/http_config.go`.

mod auth;
mod discovery;
mod http;
mod remote;
mod server;
mod web;

pub use auth::{
    AzureAdConfig, AzureCertificateConfig, AzureManagedIdentityConfig, AzureOAuthConfig,
    AzureSdkConfig, AzureWorkloadIdentityConfig, GoogleIamConfig, Sigv4Config,
};
pub use discovery::*;
pub use http::{OAuth2Config, ProxyConfig, TlsConfig};
pub use remote::{MetadataConfig, QueueConfig, RemoteReadConfig, RemoteWriteConfig};
pub use server::{
    ChunkEncodingConfig, ExemplarsConfig, OtlpConfig, RetentionConfig, StorageConfig,
    TracingConfig, TsdbConfig,
};

pub use server::SizeBytes;
pub use web::{GoDuration, WebConfig, WebHttpConfig, WebRateLimit, WebTlsConfig};

pub(crate) use discovery::RawDiscovery;
pub(crate) use http::RawProxy;
pub(crate) use web::RawWeb;
pub(crate) use {auth::*, http::*, remote::*, server::*};
