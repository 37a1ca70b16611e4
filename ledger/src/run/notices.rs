//! Notices of thresholds on the topic `notices.SITE`, at least once: after a death they may be told again.

use accounting::notices::Watch;
use bus::{Record, TopicSpec, Writer};
use facts::OccurredAt;
use std::time::{Duration, Instant};

use super::{Core, wall_micros};
use crate::error::LedgerError;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What has been told, and where to.
#[derive(Default)]
pub(super) struct Notices {
    watch: Watch,
    looked_at: Option<Instant>,
    /// Made with the first notice.
    writer: Option<Box<dyn Writer>>,
}

impl Core<'_> {
    /// Tells what accounts have passed since the last look.
    pub(super) fn notice(&mut self) -> Result<(), LedgerError> {
        if self.notices.looked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        self.notices.looked_at = Some(Instant::now());
        let (config, now) = ((self.options.config)(), OccurredAt(wall_micros()));
        let told = self.notices.watch.look(&self.shared().fold().book, &config, now);
        let mut told = told;
        told.extend(self.notices.watch.vendors(&self.shared().fold().book, &config, self.options.vendor_days, now));
        told.append(&mut self.poster.overruns);
        if told.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.notices.writer {
            Some(writer) => writer,
            none => {
                let topic = format!("notices.{}", self.options.site);
                self.options.bus.ensure(&TopicSpec::events(topic.as_str(), 1))?;
                none.insert(self.options.bus.writer(&topic)?)
            }
        };
        for notice in told {
            let mut value = Vec::new();
            schemas::notice::encode(&notice, &self.options.ids, &mut value);
            let record = Record { key: notice.account.as_bytes(), value: &value, timestamp_ms: now.0 / 1_000 };
            writer.append(0, &[record])?;
        }
        Ok(())
    }
}
