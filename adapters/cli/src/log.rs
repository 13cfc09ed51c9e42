//! `--log`: the events of the adapter, as lines on standard error.

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Writes the events that pass the filter.
pub(crate) fn install(filter: &Targets) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false);
    // The second stack of one command finds it installed.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter.clone()))
        .try_init();
}
