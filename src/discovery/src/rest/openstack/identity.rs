//! Who we are to OpenStack (Keystone v3), and where its services are.
//! Compat: gophercloud `AuthOptions`; <https://docs.openstack.org/api-ref/identity/v3/>.

use prom_config::{OpenstackSdConfig, Secret};
use serde_json::{Value, json};

use super::super::{
    AskError, Call, Refusal, RestClient,
    rules::{list, text},
};
use crate::polled::Env;

const TOKEN_HEADER: &str = "x-subject-token";
const REFUSAL: Refusal = Refusal {
    text: "Expected HTTP response code [201 200], but got {code} instead",
    reason_at: "/error/message",
    is_strict: false,
};

/// A token and the catalog that came with it.
pub(super) struct Session {
    token: String,
    catalog: Value,
}

/// Who asks; what is empty is not said.
struct Identity {
    endpoint: String,
    username: String,
    user_id: String,
    password: Secret,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    credential_name: String,
    credential_id: String,
    credential_secret: Secret,
}

impl Session {
    pub(super) async fn open(
        client: &RestClient,
        cfg: &OpenstackSdConfig,
        env: &Env,
    ) -> Result<Self, AskError> {
        let identity = match cfg.identity_endpoint.as_str() {
            "" => Identity::of_env(env)?,
            _ => Identity::of_config(cfg),
        };
        let endpoint = identity.endpoint.trim_end_matches('/');
        let base = match endpoint.strip_suffix("/v3") {
            Some(_) => endpoint.to_owned(),
            None if endpoint.ends_with("/v2.0") => {
                return Err(AskError::new("version 2.0 of the identity API is not supported"));
            }
            None => format!("{endpoint}/v3"),
        };
        let call = Call::post_json(&base, "/auth/tokens", &identity.question()?);
        let (answer, token) = client.value_with_header(&call, &REFUSAL, TOKEN_HEADER).await?;
        let token = token.ok_or_else(|| AskError::new("the answer holds no token"))?;
        let catalog = answer.pointer("/token/catalog").cloned().unwrap_or_default();
        Ok(Self { token, catalog })
    }

    /// The address of a service, with a slash at its end.
    pub(super) fn endpoint(&self, kind: &str, region: &str, availability: &str) -> Option<String> {
        let services = list(&self.catalog, "").iter().filter(|it| text(it, "/type") == kind);
        let mut endpoints = services.flat_map(|service| list(service, "/endpoints"));
        let is_here = |endpoint: &&Value| {
            let is_region = region.is_empty()
                || text(endpoint, "/region") == region
                || text(endpoint, "/region_id") == region;
            is_region && text(endpoint, "/interface") == availability
        };
        let endpoint = endpoints.find(is_here)?;
        Some(format!("{}/", text(endpoint, "/url").trim_end_matches('/')))
    }

    /// A question to a service; the path has no slash at its beginning.
    pub(super) fn call(&self, endpoint: &str, path: &str) -> Call {
        Call::get(endpoint, &format!("/{path}")).with_header("x-auth-token", self.token.clone())
    }
}

impl Identity {
    fn of_config(cfg: &OpenstackSdConfig) -> Self {
        Self {
            endpoint: cfg.identity_endpoint.clone(),
            username: cfg.username.clone(),
            user_id: cfg.userid.clone(),
            password: cfg.password.clone(),
            project_name: cfg.project_name.clone(),
            project_id: cfg.project_id.clone(),
            domain_name: cfg.domain_name.clone(),
            domain_id: cfg.domain_id.clone(),
            credential_name: cfg.application_credential_name.clone(),
            credential_id: cfg.application_credential_id.clone(),
            credential_secret: cfg.application_credential_secret.clone(),
        }
    }

    fn of_env(env: &Env) -> Result<Self, AskError> {
        let of = |names: &[&str]| names.iter().find_map(|name| env.get(name)).unwrap_or_default();
        let endpoint = of(&["OS_AUTH_URL"]);
        if endpoint.is_empty() {
            return Err(AskError::new("Missing environment variable [OS_AUTH_URL]"));
        }
        Ok(Self {
            endpoint,
            username: of(&["OS_USERNAME"]),
            user_id: of(&["OS_USERID", "OS_USER_ID"]),
            password: Secret::new(of(&["OS_PASSWORD"])),
            project_name: of(&["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
            project_id: of(&["OS_PROJECT_ID", "OS_TENANT_ID"]),
            domain_name: of(&["OS_DOMAIN_NAME", "OS_USER_DOMAIN_NAME"]),
            domain_id: of(&["OS_DOMAIN_ID", "OS_USER_DOMAIN_ID"]),
            credential_name: of(&["OS_APPLICATION_CREDENTIAL_NAME"]),
            credential_id: of(&["OS_APPLICATION_CREDENTIAL_ID"]),
            credential_secret: Secret::new(of(&["OS_APPLICATION_CREDENTIAL_SECRET"])),
        })
    }

    /// What the identity service is asked.
    fn question(&self) -> Result<Value, AskError> {
        if !self.credential_secret.is_empty() {
            let mut credential = json!({"secret": self.credential_secret.reveal()});
            match self.credential_id.as_str() {
                "" if self.credential_name.is_empty() => {
                    return Err(AskError::new(
                        "an application credential needs its id or its name",
                    ));
                }
                "" => {
                    credential["name"] = self.credential_name.as_str().into();
                    credential["user"] = self.user()?;
                }
                id => credential["id"] = id.into(),
            }
            let methods = ["application_credential"];
            return Ok(json!({"auth": {"identity": {
                "methods": methods, "application_credential": credential,
            }}}));
        }
        let mut user = self.user()?;
        user["password"] = self.password.reveal().into();
        let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
        if !self.project_id.is_empty() {
            auth["scope"] = json!({"project": {"id": self.project_id}});
        } else if !self.project_name.is_empty() {
            let domain = self.domain()?;
            auth["scope"] = json!({"project": {"name": self.project_name, "domain": domain}});
        }
        Ok(json!({"auth": auth}))
    }

    fn user(&self) -> Result<Value, AskError> {
        match (self.user_id.as_str(), self.username.as_str()) {
            ("", "") => Err(AskError::new("One of Username or UserID must be provided")),
            ("", name) => Ok(json!({"name": name, "domain": self.domain()?})),
            (id, _) => Ok(json!({"id": id})),
        }
    }

    fn domain(&self) -> Result<Value, AskError> {
        match (self.domain_id.as_str(), self.domain_name.as_str()) {
            ("", "") => Err(AskError::new(
                "You must provide exactly one of DomainID or DomainName in order to authenticate by Username",
            )),
            ("", name) => Ok(json!({"name": name})),
            (id, _) => Ok(json!({"id": id})),
        }
    }
}
