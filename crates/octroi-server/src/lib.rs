//! The running gate: listeners, routes, upstreams, the gate's own tools, admin and metrics.
