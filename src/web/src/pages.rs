//! Pages for people: HTML and SVG from the server, without a script.

mod graph;
mod scale;
