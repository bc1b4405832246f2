//! ldk-node's log records, handed to `tracing`.

use ldk_node::logger::{LogLevel, LogRecord, LogWriter};
use tracing::{Level, debug, error, info, trace, warn};

pub(super) struct TracingLog {
    least: Level,
}

impl TracingLog {
    /// Passes on what is at least as grave as `least`.
    pub(super) const fn new(least: Level) -> Self {
        Self { least }
    }
}

impl LogWriter for TracingLog {
    fn log(&self, record: LogRecord<'_>) {
        let LogRecord { level, args, module_path, .. } = record;
        let level = match level {
            LogLevel::Gossip | LogLevel::Trace => Level::TRACE,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Info => Level::INFO,
            LogLevel::Warn => Level::WARN,
            LogLevel::Error => Level::ERROR,
        };
        // `tracing` orders levels by verbosity: ERROR is the least.
        if level > self.least {
            return;
        }
        match level {
            Level::ERROR => error!(target: "lightning", module = module_path, "{args}"),
            Level::WARN => warn!(target: "lightning", module = module_path, "{args}"),
            Level::INFO => info!(target: "lightning", module = module_path, "{args}"),
            Level::DEBUG => debug!(target: "lightning", module = module_path, "{args}"),
            Level::TRACE => trace!(target: "lightning", module = module_path, "{args}"),
        }
    }
}
