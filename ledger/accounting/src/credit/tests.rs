//! The worked example of design 8.9 to the cent, and the rules one by one. What many sites do to one another under
//! faults is the simulator's matter (`tests/simulation`).

use super::site::{Action, Ask, Asked, Granted, Settings};
use super::*;
use facts::money::ONE;

const SECOND: i64 = 1_000_000;
const CENT: i128 = ONE / 100;

fn settings(me: SiteNo, sites: u16) -> Settings {
    Settings {
        me,
        sites: (1..=sites).collect(),
        config_site: 1,
        pull_wait: 2 * SECOND,
        silent_after: 15 * SECOND,
        call_limit: 7_200 * SECOND,
        surplus: Amount::ZERO,
        repay_at_once: true,
    }
}

/// 0.10 a minute, 60/60.
fn offer() -> Offer {
    Offer { first: Amount(10 * CENT), first_seconds: 60, next: Amount(10 * CENT), next_seconds: 60, decimals: 6 }
}

fn call(n: u8) -> CallId {
    CallId([n; 16])
}

fn line() -> LineId {
    LineId::new("acme")
}

/// A tiny world of sites whose frames and messages arrive at once, unless cut.
struct Pair {
    sites: Vec<Site>,
    streams: Vec<Vec<Vec<Memo>>>,
    cut: bool,
    now: i64,
}

impl Pair {
    fn new(reserve: i128) -> Self {
        let sites = (1..=2).map(|me| Site::new(settings(me, 2), 1, 0)).collect();
        let mut pair = Self { sites, streams: vec![Vec::new(), Vec::new()], cut: false, now: 0 };
        // 98.00 owed of 100.00: 2.00 left, a half at each site.
        pair.sites[0].set_limit(0, &line(), Amount(200 * CENT));
        pair.flow();
        pair.sites[0].give(&line(), 2, Amount(100 * CENT));
        for site in 0..2 {
            pair.sites[site].set_reserve(&line(), Amount(reserve));
        }
        pair.flow();
        pair
    }

    /// Takes what sites have to say until nobody has anything; returns the answers.
    fn flow(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let mut quiet = true;
            for at in 0..self.sites.len() {
                let (frame, actions) = self.sites[at].take();
                if let Some(frame) = frame {
                    quiet = false;
                    self.streams[at].push(frame.memos);
                }
                for action in actions {
                    quiet = false;
                    match action {
                        Action::Answer(answer) => answers.push(answer),
                        Action::Send { to, message } if !self.cut => {
                            self.sites[usize::from(to) - 1].receive(self.now, at as SiteNo + 1, message);
                        }
                        Action::Send { .. } => {}
                        Action::Mismatch { site, seq, line } => panic!("site {site} differs at {seq} on {line}"),
                        Action::Ready { question, .. } => panic!("nobody asked {question}"),
                    }
                }
            }
            quiet &= self.cut || !self.copy();
            if quiet {
                return answers;
            }
        }
    }

    fn copy(&mut self) -> bool {
        let mut any = false;
        for (to, from) in [(0, 1), (1, 0)] {
            let have = self.sites[to].folded(from as SiteNo + 1) as usize;
            for (at, memos) in self.streams[from].clone().iter().enumerate().skip(have) {
                any |= self.sites[to].fold(self.now, from as SiteNo + 1, at as u64 + 1, memos).unwrap();
            }
        }
        any
    }

    fn ask(&mut self, site: usize, n: u8, what: Asked) -> Result<Granted, Refusal> {
        let ask = Ask { id: u64::from(n), call: call(n), line: line(), offer: offer(), what };
        self.sites[site].ask(self.now, ask);
        let mut answers = self.flow();
        if answers.is_empty() {
            self.now += 2 * SECOND;
            self.sites[site].tick(self.now);
            answers = self.flow();
        }
        assert_eq!(answers.len(), 1);
        answers.remove(0).outcome
    }

    /// Extends until the call's seconds are held or refused; returns what is held.
    fn talk(&mut self, site: usize, n: u8, minutes: u32) -> u32 {
        let mut held = self.ask(site, n, Asked::Authorise { step_seconds: 300 }).unwrap().held_seconds;
        while held < minutes * 60 {
            match self.ask(site, n, Asked::Extend { held_seconds: held, step_seconds: 300 }) {
                Ok(more) => held = more.held_seconds,
                Err(_) => break,
            }
        }
        held
    }

    fn end(&mut self, site: usize, n: u8, minutes: i128) {
        self.sites[site].end(call(n), &line(), Amount(minutes * 10 * CENT));
        self.flow();
    }

    fn owed(&self) -> i128 {
        let rows = self.sites[0].credit().rows("acme");
        98 * ONE + rows.iter().map(|(_, row)| row.held + row.over).sum::<i128>()
    }
}

#[test]
fn the_worked_example_comes_out_to_the_cent_when_tolerant() {
    let mut pair = Pair::new(100 * CENT);
    pair.cut = true;
    pair.now = 60 * SECOND; // the isolated site has heard nothing: a pull to it has failed at once
    let granted = pair.ask(1, 1, Asked::Authorise { step_seconds: 300 }).unwrap();
    assert_eq!((granted.held_seconds, granted.allowed_seconds), (360, 1_200), "20 minutes allowed");
    for held_seconds in [360, 660] {
        pair.ask(1, 1, Asked::Extend { held_seconds, step_seconds: 300 }).unwrap();
    }
    pair.end(1, 1, 12);
    assert_eq!(pair.sites[1].rights("acme"), -20 * CENT);
    let granted = pair.ask(1, 2, Asked::Authorise { step_seconds: 300 }).unwrap();
    assert_eq!(granted.allowed_seconds, 480, "8 minutes allowed");
    pair.end(1, 2, 5);
    assert_eq!((pair.sites[1].rights("acme"), pair.sites[1].reserve_left("acme")), (-70 * CENT, 30 * CENT));

    // Reconnection: the message alone makes the main site hold back what the other owes.
    let announcement = pair.sites[1].announcement().unwrap();
    pair.sites[0].settings.repay_at_once = false;
    pair.sites[0].receive(pair.now, 2, Message::Announce(announcement));
    assert_eq!((pair.sites[0].debt("acme", 2), pair.sites[0].spendable("acme")), (70 * CENT, 30 * CENT));
    pair.cut = false;
    pair.flow();
    pair.sites[0].tick(pair.now);
    pair.flow();
    assert_eq!(pair.owed(), 9_970 * CENT);
    assert_eq!((pair.sites[0].rights("acme"), pair.sites[1].rights("acme")), (30 * CENT, 0));
    assert_eq!(pair.sites[0].credit(), pair.sites[1].credit(), "both sites show the same books");
}

#[test]
fn when_both_sites_sell_all_they_can_the_overdraft_stays_within_the_reserve() {
    for (reserve, minutes, owed, rights) in
        [(100 * CENT, 20, 10_170 * CENT, [-100 * CENT, -70 * CENT]), (0, 10, 10_000 * CENT, [0, 0])]
    {
        let mut pair = Pair::new(reserve);
        pair.cut = true;
        pair.now = 60 * SECOND;
        assert_eq!(pair.talk(0, 9, minutes), minutes * 60, "the main site sells all it can");
        pair.end(0, 9, i128::from(minutes));
        if reserve > 0 {
            pair.talk(1, 1, 12);
            pair.end(1, 1, 12);
            pair.talk(1, 2, 5);
            pair.end(1, 2, 5);
        } else {
            assert_eq!(pair.talk(1, 1, 20), 600, "strict: cut at 10 minutes");
            pair.end(1, 1, 10);
        }
        pair.cut = false;
        pair.now += 60 * SECOND;
        pair.flow();
        for site in 0..2 {
            pair.sites[site].tick(pair.now);
        }
        pair.flow();
        assert_eq!(pair.owed(), owed);
        assert_eq!([pair.sites[0].rights("acme"), pair.sites[1].rights("acme")], rights, "debts stay shown");
        assert_eq!(pair.sites[0].credit(), pair.sites[1].credit());
    }
}

#[test]
fn a_site_that_is_short_pulls_what_the_other_has_before_it_refuses() {
    let mut pair = Pair::new(0);
    assert_eq!(pair.talk(1, 1, 20), 1_200, "all 2.00 are there, a half of them at the other site");
    assert_eq!(pair.ask(0, 2, Asked::Authorise { step_seconds: 300 }), Err(Refusal::Credit));
    pair.end(1, 1, 20);
    assert_eq!(pair.owed(), 10_000 * CENT);
}

#[test]
fn a_call_charged_elsewhere_takes_its_cover_along() {
    let mut pair = Pair::new(0);
    pair.talk(0, 1, 5);
    pair.end(1, 1, 5);
    let at = pair.sites[0].credit().at(call(1), &line(), 1);
    assert!(at.hold.is_none() && at.elsewhere);
    assert_eq!(pair.sites[1].rights("acme"), 100 * CENT, "over 0.50, covered by 0.50 that came from the hold");
    assert_eq!(pair.sites[0].rights("acme"), 50 * CENT);
    pair.end(0, 1, 5);
    assert_eq!(pair.owed(), 9_850 * CENT, "the same end at the hold's site is a no-op");
}

#[test]
fn of_two_charges_of_one_call_the_one_that_closed_a_hold_stays() {
    let mut pair = Pair::new(0);
    pair.talk(1, 1, 5);
    pair.cut = true;
    pair.end(0, 1, 5);
    pair.end(1, 1, 5);
    pair.cut = false;
    pair.flow();
    assert_eq!(pair.owed(), 9_850 * CENT);
    let at = pair.sites[0].credit().at(call(1), &line(), 1);
    assert!(at.charge.unwrap().reversed, "site 1 has the lower number and had no hold");
}

/// Two sites let a hold go for one charge of 0.50, and each passes 0.50: one of them is more than the charge, and is spent
/// before the site hears that a fourth one's charge counts (seed 112662 of the simulator).
#[test]
fn a_reversal_passes_no_more_cover_than_its_charge_came_to() {
    let mut site = Site::new(settings(3, 5), 1, 0);
    let amount = Amount(50 * CENT);
    let hold = Memo::Hold { call: call(1), line: line(), amount, seconds: 300, until: i64::MAX };
    let release = |passed| {
        let why = Let::ChargedElsewhere { to: 3, passed };
        [hold.clone(), Memo::Release { call: call(1), line: line(), why }]
    };
    site.end(call(1), &line(), amount);
    assert_eq!(site.rights("acme"), -50 * CENT);
    for other in [1, 2] {
        assert!(site.fold(0, other, 1, &release(amount)).unwrap());
    }
    assert_eq!(site.give(&line(), 1, Amount(ONE)), amount, "spent");
    site.take();
    let won = Memo::Charge { call: call(1), line: line(), held: amount, over: Amount::ZERO };
    assert!(site.fold(0, 4, 1, &[hold.clone(), won]).unwrap());
    let frame = site.take().0.unwrap();
    assert_eq!(frame.memos, [Memo::Reverse { call: call(1), line: line(), to: 4, passed: amount }]);
    assert_eq!(site.rights("acme"), 0, "as before it");
    // Cover that comes later still: the charge's own has gone on.
    assert!(site.fold(0, 5, 1, &release(amount)).unwrap());
    assert_eq!((site.take().0, site.rights("acme")), (None, 50 * CENT));
    // Part of it before the reversal, part of it after: all of it goes on, but for what is beyond the charge.
    assert_eq!([cover(30, 50, 0), cover(80, 50, 30), cover(80, 50, 50)], [30, 20, 0]);
}

#[test]
fn a_frame_of_a_site_that_lies_is_refused_whole() {
    let mut pair = Pair::new(0);
    let before = pair.sites[0].credit().clone();
    let hold = Memo::Hold { call: call(1), line: line(), amount: Amount(CENT), seconds: 60, until: 1 };
    let lies = [
        Memo::Grant { line: line(), pot: Pot::Funds, amount: Amount(-1) },
        Memo::Charge { call: call(1), line: line(), held: Amount(2 * CENT), over: Amount::ZERO },
        Memo::Extend { call: call(2), line: line(), amount: Amount(1), seconds: 1 },
        Memo::Grant { line: line(), pot: Pot::Funds, amount: Amount(i128::MAX) },
        hold.clone(),
    ];
    let refusals: Vec<String> = lies
        .into_iter()
        .map(|lie| {
            let next = pair.sites[0].folded(2) + 1;
            pair.sites[0].fold(0, 2, next, &[hold.clone(), lie]).unwrap_err().to_string()
        })
        .collect();
    expect_test::expect![[r#"
        site 2 has an entry with a negative amount on line acme
        site 2 charges call 01010101010101010101010101010101 on line acme with 0.02 held, its hold is 0.01
        site 2 closes or extends a hold of call 02020202020202020202020202020202 on line acme that is not open
        site 2's totals on line acme leave the integer range
        site 2 opens a hold of call 01010101010101010101010101010101 on line acme twice"#]]
    .assert_eq(&refusals.join("\n"));
    assert_eq!(pair.sites[0].credit(), &before);
}

#[test]
fn a_switch_that_cannot_extend_gets_one_hold_for_its_share() {
    let mut pair = Pair::new(0);
    let granted = pair.ask(0, 1, Asked::AuthoriseOnce { session_seconds: 3_600, share: 2 }).unwrap();
    assert_eq!((granted.held_seconds, granted.allowed_seconds), (300, 300), "a half of 1.00 is five minutes");
    let short = pair.ask(0, 2, Asked::AuthoriseOnce { session_seconds: 120, share: 1 }).unwrap();
    assert_eq!(short.held_seconds, 120, "never more than the session limit");
}
