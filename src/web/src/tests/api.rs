//! The API: answers and errors, byte for byte.
