//! A customer who asks for a call for the first time: its caps go into the frame before its hold.

use accounting::limits;
use accounting::newcomers::caps_of_new;
use facts::OccurredAt;
use facts::entry::LedgerItem;

use super::{Core, wall_micros};
use crate::error::LedgerError;
use crate::orders::CreditAsk;

impl Core<'_> {
    /// Writes the caps of whoever is new among those that would pay for the call.
    pub(super) fn welcome(&mut self, ask: &CreditAsk) -> Result<(), LedgerError> {
        let (CreditAsk::Authorise(wish), Some(terms)) = (ask, &self.options.new_customers) else { return Ok(()) };
        // Caps are ordered at the site of the configuration.
        if !self.options.peers.is_empty() && self.options.number != self.options.config_site {
            return Ok(());
        }
        let config = (self.options.config)();
        for line in &wish.lines {
            let mut fold = self.shared().fold();
            let now = OccurredAt(wall_micros());
            let Some(caps) = caps_of_new(terms, &fold.book, &config, &line.account, now) else { continue };
            if self.poster.is_empty() {
                self.certify(&mut fold)?;
            }
            let (key, seq) = ((caps.origin_id, limits::content_of_caps(&caps)), self.seq());
            // The same id with other content: caps as they were written before a setting changed. They stand.
            let _ = self.poster.terms(&mut fold, seq, key, &LedgerItem::Caps(Box::new(caps)))?;
            self.shown();
            drop(fold);
            if !self.poster.has_room_for_order() {
                self.cut()?;
            }
        }
        Ok(())
    }
}
