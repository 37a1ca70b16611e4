//! switch-formats
