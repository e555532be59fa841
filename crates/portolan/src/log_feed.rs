//! The log as it is written, for those who may read it from afar.

use std::fmt::{self, Write};
use std::sync::Arc;

use portolan_registry_consul::{Log, LogLine};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that one who reads slowly may be behind.
const MOST_BEHIND: usize = 1024;

/// A feed that nobody reads yet.
pub(crate) fn new() -> Log {
    Log::new(MOST_BEHIND)
}

/// Tells each line of the log to those who listen; while nobody does, nothing is done.
pub(crate) struct Feed(pub(crate) Log);

impl<S: Subscriber> Layer<S> for Feed {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let mut words = Words::default();
        event.record(&mut words);
        let (level, target) = (*event.metadata().level(), event.metadata().target().to_owned());
        let time = format!("{:.3}", portolan_base::Clock::now(&portolan_base::SystemClock));
        // Who listened may have left.
        let _ = self.0.send(Arc::new(LogLine { level, time, target, message: words.message + &words.fields }));
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_are_told_with_their_fields_to_those_who_listen() {
        let log = new();
        let subscriber = tracing_subscriber::registry().with(Feed(log.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("nobody listens");
            let mut lines = log.subscribe();
            tracing::warn!(port = 80, name = %"web", "a port is taken");
            let line = lines.try_recv().expect("a line");
            assert_eq!((line.level, line.message.as_str()), (tracing::Level::WARN, "a port is taken port=80 name=web"));
            assert!(line.target.ends_with("log_feed::tests") && line.time.ends_with('Z'), "{line:?}");
            assert!(lines.try_recv().is_err());
        });
    }
}
