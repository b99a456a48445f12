//! discovery: first lines follow.
