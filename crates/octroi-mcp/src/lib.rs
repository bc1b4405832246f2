//! The MCP envelope: strict scan, eras, headers, SSE frames, replies. No I/O.
