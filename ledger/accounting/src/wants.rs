//! What a question about a call would set aside if there were enough of everything: how much to ask other sites for
//! before it is decided with less (design 8.3). Decides nothing.

use crate::authorise::{SESSION_SECONDS, STEP_SECONDS, Wish, offer_of};
use crate::book::Book;
use facts::config::Config;
use facts::entry::hold_id;
use facts::ids::OriginId;
use smallvec::SmallVec;
use smol_str::SmolStr;

/// By account, 10^-12 units; empty where nothing new would be set aside.
pub type Wants = SmallVec<[(SmolStr, i128); 1]>;

fn add(wants: &mut Wants, account: &SmolStr, amount: i128) {
    match wants.iter_mut().find(|(of, _)| of == account) {
        Some((_, sum)) => *sum = sum.saturating_add(amount),
        None => wants.push((account.clone(), amount)),
    }
}

/// A full first hold of a call, by the levels that pay for it. `available`: what this site could use at this moment,
/// which a switch that cannot extend gets its share of.
pub fn of_wish(book: &Book, config: &Config, wish: &Wish, available: impl Fn(&str) -> i128) -> Wants {
    let id = hold_id(wish.call_id);
    let mut wants = Wants::new();
    if book.holds().get(id).is_some() || book.holds().ended(id) || book.knows(wish.call_id) {
        return wants;
    }
    let longest = SESSION_SECONDS.min(config.settings.maximum_call_seconds);
    for line in &wish.lines {
        let offer = &line.offer;
        let intervals = if wish.extendable {
            offer.intervals_for(offer.first_seconds.saturating_add(STEP_SECONDS))
        } else {
            let caps = book.holds().terms(&line.account).and_then(|terms| terms.caps.as_ref());
            let sharers = caps.and_then(|caps| caps.calls_without_extend).unwrap_or(1).max(1);
            let most = longest.saturating_sub(offer.first_seconds) / offer.next_seconds.max(1);
            offer.fit(None, available(&line.account) / i128::from(sharers), most).unwrap_or(0)
        };
        // Beyond the range it is refused by the decision itself.
        if let Some(cost) = offer.cost(intervals) {
            add(&mut wants, &line.account, cost);
        }
    }
    wants
}

/// One more step of an open hold of which whoever asks knows `held` seconds.
pub fn of_extension(book: &Book, config: &Config, id: OriginId, held: u32) -> Wants {
    let mut wants = Wants::new();
    let Some(hold) = book.holds().get(id).filter(|hold| hold.extendable && hold.seconds <= held && !hold.is_attempt())
    else {
        return wants;
    };
    let target = hold.seconds.saturating_add(STEP_SECONDS).min(config.settings.maximum_call_seconds);
    for line in &hold.lines {
        let offer = offer_of(line);
        let (from, to) = (offer.intervals_for(hold.seconds), offer.intervals_for(target));
        if let (Some(paid), Some(cost)) = (offer.cost(from), offer.cost(to)) {
            add(&mut wants, &line.account, (cost - paid).max(0));
        }
    }
    wants
}
