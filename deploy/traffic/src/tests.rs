//! A small day looked at from all sides: the same every time, complete, and priced by the product as by the oracle.

use crate::{Answer, Fate, Flaws, Options, Scenario, TrueCall, View};
use expect_test::expect;
use facts::call::{Call, CallEvent, EventKind, Leg};
use facts::config::Config;
use facts::deck::RateDeck;
use facts::time::{ObservedAt, OccurredAt, parse_rfc3339};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

const CALLS: u64 = 5_000;

fn partition_of(key: &[u8], partitions: u32) -> u32 {
    key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % partitions
}

fn scenario(calls: u64, flaws: Flaws) -> Scenario {
    static GROUND: OnceLock<Vec<facts::deck::Rate>> = OnceLock::new();
    let ground = GROUND.get_or_init(|| crate::ground().unwrap());
    let day = parse_rfc3339("2026-11-18T15:00:00Z").unwrap();
    Scenario::new(Options { flaws, ..Options::new(7, calls, day, 4, partition_of) }, ground).unwrap()
}

fn config(scenario: &Scenario) -> (Config, Vec<RateDeck>) {
    let mut config = Config::default();
    scenario.config_items().into_iter().for_each(|item| config.apply(item));
    (config, scenario.decks().collect())
}

/// The call that a right assembler would make of it, straight from the truth.
fn assembled(scenario: &Scenario, call: &TrueCall, started: &CallEvent, routed: &BTreeMap<String, CallEvent>) -> Call {
    let end = call.booked_end();
    let attempts = call.attempts.iter().enumerate().map(|(place, attempt)| {
        let ended = match call.fate {
            Fate::Estimated { last_life } if attempt.answered_at.is_some() => last_life,
            _ => attempt.ended_at,
        };
        facts::Attempt {
            key: call.attempt_key(place),
            number: place as u16 + 1,
            outbound: routed[call.attempt_key(place).as_str()].outbound.clone(),
            started_at: Some(OccurredAt(attempt.started_at)),
            answered_at: attempt.answered_at.map(OccurredAt),
            ended_at: Some(OccurredAt(ended)),
            duration: attempt.answered_at.map_or(0, |answered| ended - answered),
            ..facts::Attempt::default()
        }
    });
    assert!(call.started_at >= scenario.world().day);
    Call {
        call_id: started.call_id(),
        id_domain: started.id_domain.clone(),
        switch: started.switch.clone(),
        call_key: started.call_key.clone(),
        caller: started.caller.clone(),
        called: started.called.clone(),
        caller_number: started.caller_number,
        called_number: started.called_number,
        rn: None,
        inbound: started.inbound.clone(),
        started_at: started.occurred_at,
        answered_at: call.answered_at.map(OccurredAt),
        ended_at: OccurredAt(end),
        duration: call.answered_at.map_or(0, |answered| end - answered),
        pdd: None,
        sip_code: Some(call.sip_code),
        q850: Some(call.q850),
        attempts: attempts.collect(),
        estimated: matches!(call.fate, Fate::Estimated { .. }),
        hold_id: None,
        held: None,
        dedupe: Default::default(),
        events: Default::default(),
        import: None,
        raw: Default::default(),
    }
}

#[test]
fn the_rater_and_the_oracle_agree_on_every_side_of_every_call() {
    let scenario = scenario(CALLS, Flaws::many());
    let (config, decks) = config(&scenario);
    assert_eq!(rating::identify::check_overlaps(&config), []);
    let tariffs = rating::tariffs::Tariffs::with_decks(&config, &decks.iter().collect::<Vec<_>>());
    assert_eq!(tariffs.problems(), [] as [String; 0]);
    let (mut started, mut routed) = (BTreeMap::new(), BTreeMap::new());
    for event in scenario.events() {
        match event.kind {
            EventKind::Started => drop(started.insert(event.call_key.to_string(), event)),
            EventKind::Routed => drop(routed.insert(event.attempt_key.to_string(), event)),
            _ => {}
        }
    }
    let oracle = scenario.oracle(View::Events);
    let (mut sides, mut reasons) = (0, BTreeSet::new());
    for call in scenario.calls().filter(|call| call.fate != Fate::Suspended) {
        let made = assembled(&scenario, &call, &started[call.key().as_str()], &routed);
        let xdrs = tariffs.rate(&made);
        let lines = oracle.lines(&call);
        assert_eq!(xdrs.len(), lines.len());
        for (xdr, line) in xdrs.iter().zip(&lines) {
            let ours =
                (&xdr.account, xdr.side, xdr.currency, xdr.duration, xdr.billed, xdr.amount, xdr.gross, xdr.unrated);
            let theirs = (
                &line.account,
                line.side,
                line.currency,
                line.duration,
                line.billed,
                line.amount,
                line.charged,
                line.unrated,
            );
            assert_eq!(ours, theirs, "{call:#?}\n{:#?}", xdr.rate);
            sides += 1;
            reasons.insert((xdr.side.as_str(), xdr.unrated.map(|reason| reason.as_str())));
        }
    }
    assert!(sides > CALLS * 2);
    expect![[r#"
        {
            (
                "buy",
                None,
            ),
            (
                "buy",
                Some(
                    "bad_number",
                ),
            ),
            (
                "buy",
                Some(
                    "no_rate",
                ),
            ),
            (
                "buy",
                Some(
                    "unknown_account",
                ),
            ),
            (
                "sell",
                None,
            ),
            (
                "sell",
                Some(
                    "bad_number",
                ),
            ),
            (
                "sell",
                Some(
                    "blocked",
                ),
            ),
            (
                "sell",
                Some(
                    "no_rate",
                ),
            ),
            (
                "sell",
                Some(
                    "unknown_account",
                ),
            ),
        }
    "#]]
    .assert_debug_eq(&reasons);
}

/// Pinned: a changed figure here means that every seed's day is another one.
#[test]
fn a_seed_names_one_day() {
    let day = scenario(2_000, Flaws::default());
    let mut events = day.events();
    let count = events.by_ref().count() as u64;
    let answer = day.answer(View::Events, Some(events.sent()));
    assert_eq!(answer.sent.unwrap().events, count);
    assert_eq!(Answer::from_json(&answer.to_json()).unwrap(), answer);
    let totals: Vec<String> = answer
        .sides
        .iter()
        .map(|s| {
            format!(
                "{} {} {} {} {} {} {}",
                s.account,
                s.side.as_str(),
                s.currency,
                s.xdrs,
                s.billed / 1_000_000,
                s.amount,
                s.provisional_amount
            )
        })
        .collect();
    expect![[r#"
        Sent { events: 9575, repeated: 27, resent: 1, late: 285 }
        cust01 sell USD 317 41064 145.649404 0
        cust02 sell USD 237 30809 160.0004 0
        cust03 sell USD 175 48861 225.164675 0
        cust04 sell EUR 169 25169 118.71174 0
        cust05 sell USD 141 20239 72.979494999997 0
        cust06 sell GBP 118 10671 32.183924 0
        cust07 sell USD 111 16828 32.53 0
        cust08 sell EUR 104 18426 54.941877 0
        cust09 sell USD 95 16467 36.843041 0
        cust10 sell USD 80 35680 76.654628333335 104.53825
        cust11 sell USD 80 272 1.951412 0
        cust12 sell EUR 63 14270 37.653 0
        cust13 sell USD 67 8553 21.065818 0
        cust14 sell GBP 47 834 0.48882 0
        cust15 sell USD 56 8337 105.795111666668 0
        cust16 sell EUR 35 2882 16.724079 0
        cust17 sell USD 32 5768 102.4 0
        cust18 sell USD 23 10437 9.432123 0
        cust19 sell USD 27 471 0.169505 0
        cust20 sell USD 19 2070 10.120264673333 0
        unidentified sell USD 3 0 0 2.704515
        vend1 buy USD 308 38249 142.814657 0
        vend2 buy USD 232 43471 123.442786 96.461095
        vend3 buy EUR 276 31143 143.194453333334 0
        vend4 buy USD 204 33519 105.2769 0
        vend5 buy USD 423 58223 154.169074 0
        vend6 buy GBP 302 47148 228.51094084 0
        vend7 buy USD 229 30605 87.119181 0
        vend8 buy USD 218 35629 116.255871666663 0"#]]
    .assert_eq(&format!("{:?}\n{}", answer.sent.unwrap(), totals.join("\n")));
    assert_eq!(scenario(2_000, Flaws::default()).answer(View::Events, answer.sent), answer);
    let index = 1_234;
    assert_eq!(day.call(index), day.calls().nth(index as usize));
}

/// What a plain reader of the events would make of each call, whatever their order and repetition.
#[derive(Default)]
struct Seen {
    answered: Option<i64>,
    ended: Option<i64>,
    life: Option<i64>,
    attempts: BTreeMap<String, (Option<i64>, Option<i64>)>,
}

#[test]
fn events_tell_every_call_whatever_their_order() {
    let scenario = scenario(CALLS, Flaws::many());
    let mut calls: BTreeMap<String, Seen> = BTreeMap::new();
    let (mut ids, mut repeats, mut last) = (BTreeSet::new(), 0, ObservedAt(0));
    let mut events = scenario.events();
    for event in events.by_ref() {
        assert!(event.observed_at >= last, "arrival goes back");
        assert!(event.observed_at.micros() >= event.occurred_at.micros());
        last = event.observed_at;
        assert_eq!(event.id.partition, partition_of(event.call_key.as_bytes(), 4));
        repeats += u64::from(!ids.insert((event.id.node.clone(), event.id.partition, event.id.sequence)));
        let seen = calls.entry(event.call_key.to_string()).or_default();
        let at = event.occurred_at.micros();
        if event.leg != Leg::B {
            match event.kind {
                EventKind::Answered => seen.answered = Some(at),
                EventKind::Ended => seen.ended = Some(at),
                EventKind::Interim => seen.life = seen.life.max(Some(at)),
                _ => {}
            }
        }
        if event.leg != Leg::A {
            let attempt = seen.attempts.entry(event.attempt_key.to_string()).or_default();
            match event.kind {
                EventKind::Answered => attempt.0 = Some(at),
                EventKind::Ended => attempt.1 = Some(at),
                _ => {}
            }
        }
    }
    let sent = events.sent();
    assert!(last < scenario.settled_at());
    assert_eq!((repeats, ids.len() as u64), (sent.repeated, sent.events - sent.repeated));
    assert!(sent.repeated > 100 && sent.resent > 5 && sent.late > 100, "{sent:?}");
    // Ids count without a gap per node and partition.
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    ids.iter().for_each(|(node, partition, _)| *counts.entry((node.clone(), *partition)).or_default() += 1);
    for (node, partition, sequence) in &ids {
        assert!(*sequence < counts[&(node.clone(), *partition)]);
    }
    let (mut suspended, mut estimated, mut late) = (0, 0, 0);
    for call in scenario.calls() {
        let seen = &calls[call.key().as_str()];
        assert_eq!(seen.answered, call.answered_at);
        match call.fate {
            Fate::Suspended => {
                assert_eq!((seen.ended, seen.life), (None, None));
                suspended += 1;
                continue;
            }
            Fate::Estimated { last_life } => {
                assert_eq!((seen.ended, seen.life), (None, Some(last_life)));
                assert!(call.answered_at < Some(last_life) && last_life < call.ended_at);
                estimated += 1;
                continue;
            }
            Fate::LateTruth { .. } => late += 1,
            Fate::Known => {}
        }
        assert_eq!(seen.ended, Some(call.ended_at));
        for (place, attempt) in call.attempts.iter().enumerate() {
            let told = seen.attempts[call.attempt_key(place).as_str()];
            assert_eq!(told, (attempt.answered_at, Some(attempt.ended_at)));
        }
    }
    assert!(suspended > 3 && estimated > 3 && late > 0, "{suspended} {estimated} {late}");
}

#[test]
fn a_yeti_file_holds_one_record_for_each_attempt() {
    let scenario = scenario(500, Flaws::default());
    let mut out = Vec::new();
    let mut records = 0;
    for call in scenario.calls() {
        records += call.attempts.len().max(1);
        scenario.write_yeti(&call, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), records);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    expect![[r#"{"id":1,"customer_acc_id":"103","vendor_acc_id":"308","orig_gw_id":1,"term_gw_id":2,"duration":0,"success":false,"dst_prefix_in":"77172165737","dst_prefix_out":"77172165737","src_prefix_in":"33591047740","src_prefix_out":"33591047740","time_start":"2026-11-18T00:04:21.706433Z","time_connect":null,"time_end":"2026-11-18T00:04:32.501712Z","sign_orig_ip":"192.0.2.10","sign_orig_port":5060,"sign_term_ip":"192.0.2.20","sign_term_port":5060,"orig_call_id":"c62db9b-0","local_tag":"c62db9b-0","global_tag":"c62db9b-0","legb_local_tag":"b0-1","uuid":"00000000-0000-4000-8000-000000000001","routing_attempt":1,"is_last_cdr":true,"lega_disconnect_code":487,"legb_disconnect_code":487,"lega_q850_cause":16,"legb_q850_cause":16,"pdd":"5.259262","lrn":null}"#]].assert_eq(text.lines().next().unwrap());
}

#[test]
fn live_traffic_goes_on_from_now() {
    let scenario = scenario(1_000, Flaws::default());
    let now = scenario.settled_at();
    let mut live = scenario.live(20, now);
    let mut started = 0;
    for second in 1..=60 {
        let until = now.micros() + second * 1_000_000;
        live.until(until, usize::MAX, &mut |event| {
            assert!(event.observed_at.micros() < until);
            started += u64::from(event.kind == EventKind::Started);
        });
    }
    assert!((1_000..1_400).contains(&started), "{started}");
}

/// A rater in memory: assembles, rates, revises what comes late.
#[derive(Default)]
struct Books {
    calls: BTreeMap<facts::CallId, Call>,
    suspended: BTreeMap<facts::CallId, facts::xdr::Suspended>,
    revised: u64,
}

impl rating::CallIndex for Books {
    fn find(&self, call: facts::CallId) -> Option<rating::Known> {
        let at = facts::xdr::Position::default();
        if let Some(known) = self.calls.get(&call) {
            return Some(rating::Known { at, suspended: false, started_at: known.started_at });
        }
        let events = &self.suspended.get(&call)?.events;
        let started_at = events.iter().map(|event| event.occurred_at).min()?;
        Some(rating::Known { at, suspended: true, started_at })
    }
}

impl Books {
    fn settle(&mut self, assembler: &mut rating::Assembler) {
        while let Some(outcome) = assembler.next_ready() {
            assembler.written();
            match outcome {
                rating::Outcome::Call(call) => drop(self.calls.insert(call.call_id, *call)),
                rating::Outcome::Suspended { call_id, item, .. } => drop(self.suspended.insert(call_id, *item)),
            }
        }
    }

    fn late(&mut self, assembler: &mut rating::Assembler, event: Box<CallEvent>, known: rating::Known) {
        let id = event.call_id();
        if known.suspended {
            let suspended = self.suspended.remove(&id).unwrap();
            assembler.reopen(&suspended, &event.view(), 0);
        } else if let Some(later) = rating::apply_late(&self.calls[&id], &event).unwrap() {
            self.revised += 1;
            self.calls.insert(id, later);
        }
    }
}

#[test]
fn events_assembled_and_rated_end_at_the_answer_to_the_last_digit() {
    let scenario = scenario(CALLS, Flaws::many());
    let (config, decks) = config(&scenario);
    let tariffs = rating::tariffs::Tariffs::with_decks(&config, &decks.iter().collect::<Vec<_>>());
    let limits = rating::Limits::from(&config.settings);
    let mut assemblers: Vec<_> = (0..4).map(|partition| rating::Assembler::new(limits, partition)).collect();
    let mut books = Books::default();
    for event in scenario.events() {
        let assembler = &mut assemblers[event.id.partition as usize];
        if let rating::Pushed::Late { event, known } = assembler.push(&event.view(), 0, &books, &mut rating::NoKeys) {
            books.late(assembler, event, known);
        }
        books.settle(assembler);
    }
    for assembler in &mut assemblers {
        assembler.tick(scenario.settled_at());
        books.settle(assembler);
        assert_eq!(assembler.open_calls(), 0);
    }
    let oracle = scenario.oracle(View::Events);
    let mut suspended = 0;
    for call in scenario.calls() {
        let id = facts::CallId::new(crate::SWITCH, crate::SWITCH, &call.key());
        if call.fate == Fate::Suspended {
            assert!(books.suspended.contains_key(&id), "{call:#?}");
            suspended += 1;
            continue;
        }
        let made = books.calls.get(&id).unwrap_or_else(|| panic!("not on the books: {call:#?}"));
        assert_eq!(made.estimated, matches!(call.fate, Fate::Estimated { .. }), "{call:#?}");
        let theirs: Vec<_> =
            oracle.lines(&call).into_iter().map(|l| (l.account, l.side, l.billed, l.amount, l.unrated)).collect();
        let ours: Vec<_> =
            tariffs.rate(made).into_iter().map(|x| (x.account, x.side, x.billed, x.amount, x.unrated)).collect();
        assert_eq!(ours, theirs, "{call:#?}\n{made:#?}");
    }
    assert_eq!(books.suspended.len(), suspended);
    assert!(books.revised > 10, "{}", books.revised);
}

#[test]
fn the_same_day_as_a_yeti_file_ends_at_its_own_answer() {
    let scenario = scenario(2_000, Flaws::many());
    let (config, decks) = config(&scenario);
    let tariffs = rating::tariffs::Tariffs::with_decks(&config, &decks.iter().collect::<Vec<_>>());
    let mut assembler = rating::Assembler::new(rating::Limits::from(&config.settings), 0);
    let mut reader = switch_formats::reader("yeti", &config.switches[crate::YETI]).unwrap();
    let (mut text, mut records) = (Vec::new(), Vec::new());
    scenario.calls().for_each(|call| scenario.write_yeti(&call, &mut text));
    let mut take = |decoded| match decoded {
        switch_formats::Decoded::Record(record) => records.push(record.event),
        other => panic!("{other:?}"),
    };
    reader.feed(&text, &mut take);
    reader.finish(&mut take);
    let mut books = Books::default();
    for mut event in records {
        event.observed_at = ObservedAt(scenario.settled_at().micros());
        match assembler.push(&event.view(), 0, &books, &mut rating::NoKeys) {
            rating::Pushed::Kept => {}
            other => panic!("{other:?}"),
        }
        books.settle(&mut assembler);
    }
    assembler.tick(ObservedAt(scenario.settled_at().micros() + 3_600_000_000));
    books.settle(&mut assembler);
    let oracle = scenario.oracle(View::Yeti);
    for call in scenario.calls() {
        let id = facts::CallId::new(crate::YETI, crate::YETI, &call.key());
        let made = books.calls.get(&id).unwrap_or_else(|| panic!("not on the books: {call:#?}"));
        let lines = oracle.lines(&call).into_iter();
        let theirs: Vec<_> = lines.map(|l| (l.account, l.side, l.duration, l.billed, l.amount, l.unrated)).collect();
        let xdrs = tariffs.rate(made).into_iter();
        let ours: Vec<_> = xdrs.map(|x| (x.account, x.side, x.duration, x.billed, x.amount, x.unrated)).collect();
        assert_eq!(ours, theirs, "{call:#?}\n{made:#?}");
    }
}
