//! Starts real servers for the end-to-end tests.
