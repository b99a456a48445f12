//! The room as its clients see it: requests in, whole answers out.

mod admin;
mod api;
mod layers;
mod pages;
mod reference;
mod remote_write;
