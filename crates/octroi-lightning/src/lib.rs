//! One trait over Lightning nodes, its adapters, and the embedded node.
