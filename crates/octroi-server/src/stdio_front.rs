//! The gate as a stdio server.
