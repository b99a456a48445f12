//! A signed request that is not sent but handed to somebody else, who sends it to learn who signed it.

use jiff::Timestamp;

use super::{
    Keys,
    sign::{Scope, Signing, sign},
};

/// Keys, and what they sign for.
#[derive(Clone, Copy)]
pub struct AwsProof<'a> {
    pub access_key: &'a str,
    pub secret_key: &'a str,
    /// May be empty.
    pub session_token: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

impl AwsProof<'_> {
    /// The headers of a POST without a body, beside `host` and `headers`, which the signature covers. Names are in
    /// lower case; path and query as they are sent.
    pub fn of_post(
        &self,
        host: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Vec<(&'static str, String)> {
        let keys = Keys::new(self.access_key, self.secret_key, self.session_token);
        let signing = Signing { method: "POST", host, path, query, headers, body: b"" };
        let scope = Scope { region: self.region, service: self.service, at: Timestamp::now() };
        sign(&signing, &keys, &scope)
    }
}

impl std::fmt::Debug for AwsProof<'_> {
    // Keys are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { region, service, .. } = self;
        f.debug_struct("AwsProof")
            .field("region", region)
            .field("service", service)
            .finish_non_exhaustive()
    }
}
