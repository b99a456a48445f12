//! Layers around the routes: who may ask, when, and what it cost. They know paths and headers, no answers.

mod cors;
mod measure;
mod ready;

pub(crate) use self::{
    cors::{preflight, with_cors, with_cors_when_ready},
    measure::{HttpMetrics, measure},
    ready::only_when_ready,
};
