//! Where the keys of an account come from. Compat: `resolveCredentialChain` of the AWS SDK for Go v2.

use jiff::Timestamp;
use prom_config::Secret;
use serde::Deserialize;

use super::{
    AwsAccount, Keys,
    profile::{self, Profile, Section},
    roles::Role,
};
use crate::error::Cause;

/// Profiles that name each other as their source.
const SOURCE_DEPTH_MAX: usize = 8;

/// Keys as services on the machine give them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GivenKeys {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    token: String,
    expiration: Option<Timestamp>,
}

impl From<GivenKeys> for Keys {
    fn from(given: GivenKeys) -> Self {
        Self {
            access_key: given.access_key_id,
            secret_key: Secret::new(given.secret_access_key),
            session_token: Secret::new(given.token),
            expires: given.expiration,
        }
    }
}

impl Keys {
    pub(super) fn new(access_key: &str, secret_key: &str, session_token: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret_key: Secret::new(secret_key),
            session_token: Secret::new(session_token),
            expires: None,
        }
    }

    pub(super) fn until(self, expires: Option<Timestamp>) -> Self {
        Self { expires, ..self }
    }
}

impl AwsAccount {
    pub(super) async fn find_keys(&self) -> Result<Keys, Cause> {
        let keys = self.base_keys().await?;
        if self.cfg.role_arn.is_empty() {
            return Ok(keys);
        }
        let role = Role {
            arn: self.cfg.role_arn.clone(),
            external_id: self.cfg.external_id.clone(),
            session_name: String::new(),
        };
        self.assume(&role, &keys).await
    }

    async fn base_keys(&self) -> Result<Keys, Cause> {
        let cfg = &self.cfg;
        if !cfg.access_key.is_empty() && !cfg.secret_key.is_empty() {
            return Ok(Keys::new(&cfg.access_key, cfg.secret_key.reveal(), ""));
        }
        if cfg.profile.is_empty() {
            if let Some(keys) = self.keys_of_env() {
                return Ok(keys);
            }
            if let Some(file) = self.env("AWS_WEB_IDENTITY_TOKEN_FILE") {
                let role = Role {
                    arn: self.env("AWS_ROLE_ARN").unwrap_or_default(),
                    session_name: self.env("AWS_ROLE_SESSION_NAME").unwrap_or_default(),
                    external_id: String::new(),
                };
                return self.assume_by_file(&role, &file).await;
            }
        }
        match self.profile().await? {
            Some(profile) => self.keys_of_profile(&profile, SOURCE_DEPTH_MAX).await,
            None => self.keys_of_surroundings().await,
        }
    }

    fn keys_of_env(&self) -> Option<Keys> {
        let either = |one, other| self.env(one).or_else(|| self.env(other));
        let access_key = either("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY")?;
        let secret_key = either("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY")?;
        let session_token = self.env("AWS_SESSION_TOKEN").unwrap_or_default();
        Some(Keys::new(&access_key, &secret_key, &session_token))
    }

    /// The container's service, if there is one, or the machine's.
    async fn keys_of_surroundings(&self) -> Result<Keys, Cause> {
        match self.container_endpoint()? {
            Some(url) => self.keys_of_container(&url).await,
            None => self.keys_of_machine().await,
        }
    }

    async fn keys_of_profile(&self, profile: &Profile, depth: usize) -> Result<Keys, Cause> {
        let keys = Box::pin(self.source_keys(profile, depth)).await?;
        let Some(arn) = profile.get("role_arn") else { return Ok(keys) };
        if profile.get("web_identity_token_file").is_some() {
            return Ok(keys);
        }
        let role = Role {
            arn: arn.to_owned(),
            external_id: profile.get("external_id").unwrap_or_default().to_owned(),
            session_name: profile.get("role_session_name").unwrap_or_default().to_owned(),
        };
        self.assume(&role, &keys).await
    }

    async fn source_keys(&self, profile: &Profile, depth: usize) -> Result<Keys, Cause> {
        let refused = |reason: &str| {
            Err(Cause::Token(format!(
                "failed to load the AWS profile {:?}: {reason}",
                profile.name
            )))
        };
        if let Some(source) = profile.get("source_profile").filter(|name| *name != profile.name) {
            let Some(depth) = depth.checked_sub(1) else {
                return refused("its source profiles run in a circle");
            };
            return match self.profile_named(source).await? {
                Some(source) => self.keys_of_profile(&source, depth).await,
                None => refused("its source profile does not exist"),
            };
        }
        if let (Some(access_key), Some(secret_key)) =
            (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key"))
        {
            let session_token = profile.get("aws_session_token").unwrap_or_default();
            return Ok(Keys::new(access_key, secret_key, session_token));
        }
        match profile.get("credential_source") {
            None => {}
            Some("Environment") => {
                let keys = self.keys_of_env();
                return keys.map_or_else(|| refused("no keys in the environment"), Ok);
            }
            Some("Ec2InstanceMetadata") => return self.keys_of_machine().await,
            Some("EcsContainer") => return self.keys_of_surroundings().await,
            Some(_) => return refused("its credential_source is not known"),
        }
        if let Some(file) = profile.get("web_identity_token_file") {
            let role = Role {
                arn: profile.get("role_arn").unwrap_or_default().to_owned(),
                session_name: profile.get("role_session_name").unwrap_or_default().to_owned(),
                external_id: String::new(),
            };
            return self.assume_by_file(&role, file).await;
        }
        if let Some(keys) = self.keys_of_sign_on(profile).await? {
            return Ok(keys);
        }
        match profile.get("credential_process") {
            Some(command) => self.keys_of_program(command).await,
            None => self.keys_of_surroundings().await,
        }
    }

    /// The profile in force, if a file has it.
    pub(super) async fn profile(&self) -> Result<Option<Profile>, Cause> {
        let wanted = Some(self.cfg.profile.clone()).filter(|name| !name.is_empty());
        let named =
            wanted.or_else(|| self.env("AWS_PROFILE")).or_else(|| self.env("AWS_DEFAULT_PROFILE"));
        match named {
            None => self.profile_named("default").await,
            Some(name) => match self.profile_named(&name).await? {
                Some(profile) => Ok(Some(profile)),
                None => Err(Cause::Token(format!("failed to get shared config profile, {name}"))),
            },
        }
    }

    async fn profile_named(&self, name: &str) -> Result<Option<Profile>, Cause> {
        self.section_named(name, Section::Profile).await
    }

    /// The configuration's file first, then the one with keys, which wins.
    pub(super) async fn section_named(
        &self,
        name: &str,
        kind: Section,
    ) -> Result<Option<Profile>, Cause> {
        let home = self.env("HOME").unwrap_or_default();
        let path = |variable: &str, file: &str| {
            self.env(variable).unwrap_or_else(|| format!("{home}/.aws/{file}"))
        };
        let config = path("AWS_CONFIG_FILE", "config");
        let credentials = path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let mut found: Option<Profile> = None;
        let of_credentials = if kind == Section::Profile { Section::Plain } else { kind };
        for (file, kind) in [(config, kind), (credentials, of_credentials)] {
            let text = self.read(&file).await.map_err(|reason| {
                Cause::Token(format!("failed to load shared config file, {file}, {reason}"))
            })?;
            let Some(text) = text else { continue };
            if let Some(more) = profile::find(&text, name, kind) {
                match &mut found {
                    Some(found) => found.extend(more),
                    None => found = Some(more),
                }
            }
        }
        Ok(found)
    }
}
