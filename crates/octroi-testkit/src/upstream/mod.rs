//! Scripted MCP servers for the far side of the gate. None of them knows of money or of callers.

pub mod sample;
