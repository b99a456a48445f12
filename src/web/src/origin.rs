//! Who sent a request, for fairness between clients and for the query log.

use std::{convert::Infallible, net::IpAddr};

use axum::extract::FromRequestParts;
use http::request::Parts;
use prom_promql::QueryOrigin;

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Where a query comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin(pub(crate) QueryOrigin);

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ClientAddress>();
        Ok(Self(QueryOrigin::Http {
            client_ip: address.map_or_else(String::new, |address| address.0.to_string()),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
        }))
    }
}
