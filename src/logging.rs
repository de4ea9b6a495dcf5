//! What this process says of itself, on stderr. Owns the filter and what a panic leaves there: nothing that
//! quotes a tenant's names or contents. Each event's author sees to its own fields.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::PanicHookInfo;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// What is logged when POSTROAD_LOG does not say otherwise: what an operator should look at.
const LOG_DEFAULT: &str = "warn";

/// Begins to log.
pub(crate) fn start() {
    let wanted =
        EnvFilter::try_from_env("POSTROAD_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        // Where nobody reads stderr any more, a line that is lost is told nobody: telling would panic.
        .log_internal_errors(false)
        .with_filter(wanted.and(filter_fn(may_be_logged)));
    registry().with(lines).init();
    std::panic::set_hook(Box::new(tell_panic));
}

/// Other crates' finer events quote subjects and payloads, and so the names in them: whatever POSTROAD_LOG
/// says, of those crates warnings and errors alone are logged.
fn may_be_logged(event: &Metadata<'_>) -> bool {
    let is_own = event.target().starts_with("postroad");
    // This one tells of requests that are refused and of clients that vanish, in the words of whoever made them.
    let is_of_a_client = event.target().starts_with("rmcp");
    is_own || (*event.level() <= Level::WARN && !is_of_a_client)
}

fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string);
    let mut text = format!(
        "thread '{}' panicked at {}: {}\n",
        thread.name().unwrap_or("unnamed"),
        place.unwrap_or_default(),
        said(panic.payload().downcast_ref())
    );
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("{trace}\n"));
    }
    // Nobody is left to tell where this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A text that the source holds. One that was made at run time may quote a request.
fn said(fixed: Option<&&'static str>) -> &'static str {
    fixed.copied().unwrap_or("(what it said is left out)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::Context;

    struct Gathered(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Gathered {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let metadata = event.metadata();
            let line = format!("{} {}", metadata.level(), metadata.target());
            self.0.lock().unwrap().push(line);
        }
    }

    #[test]
    fn other_crates_are_heard_only_when_something_is_wrong() {
        let lines = Arc::default();
        let filter = EnvFilter::new("trace").and(filter_fn(may_be_logged));
        let layer = Gathered(Arc::clone(&lines)).with_filter(filter);
        tracing::subscriber::with_default(registry().with(layer), || {
            tracing::trace!(target: "postroad_projector::check", "ours");
            tracing::trace!(target: "async_nats::jetstream", "a subject");
            tracing::info!(target: "async_nats", "a subject");
            tracing::warn!(target: "async_nats", "trouble");
            tracing::warn!(target: "rmcp::service", "a request");
            tracing::error!(target: "rmcp::service", "a client that vanished");
        });
        let lines = lines.lock().unwrap();
        assert_eq!(
            *lines,
            ["TRACE postroad_projector::check", "WARN async_nats"]
        );
    }

    #[test]
    fn a_panic_repeats_only_what_the_source_holds() {
        assert_eq!(said(Some(&"it is sent")), "it is sent");
        assert_eq!(said(None), "(what it said is left out)");
    }
}
