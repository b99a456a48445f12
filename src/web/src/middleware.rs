//! Layers around the routes.
