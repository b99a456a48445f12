//! Layers: who may ask, when, and what is counted.
