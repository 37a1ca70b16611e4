//! The reports against plain loops over the same calls: rollup and base table give the same figures, all exact.

use super::sample::{DAY, Memory, STREAM, all, currency, current, stream};
use super::{engine, run};
use facts::Amount;
use facts::xdr::{RatedCall, Side};
use reporting::loader::Loader;
use reporting::reports::{
    Figures, Filter, Line, ReportName, Search, Source, export, live, report, search, sql, suspense,
};
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR: i64 = 3_600_000_000;
const NER: [u16; 3] = [480, 486, 487];

struct Loaded {
    _dir: tempfile::TempDir,
    engine: reporting::Engine,
    calls: Vec<RatedCall>,
}

fn loaded() -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir.path().join("engine"));
    let memory = Memory::new(stream(4_000, 300, 11));
    let mut loader = Loader::open(&engine, "main", dir.path()).unwrap();
    loader.range_time = Duration::ZERO;
    loader.add(STREAM, Box::new(memory.clone())).unwrap();
    while loader.step(&all).unwrap().frames > 0 {}
    let calls = current(&memory.frames.lock().unwrap());
    Loaded { _dir: dir, engine, calls }
}

/// The report by the definitions, in plain loops.
fn expected(name: ReportName, filter: &Filter, calls: &[RatedCall]) -> BTreeMap<(String, String), Figures> {
    let mut lines: BTreeMap<(String, String), Figures> = BTreeMap::new();
    for rated in calls {
        let call = &rated.call;
        let at = call.started_at.micros();
        let sell = rated.xdrs.iter().find(|x| x.side == Side::Sell && x.level == 0).unwrap();
        let destination = sell.rate.as_ref().map_or("", |r| r.destination.as_str());
        let wanted = |f: &str, v: &str| f.is_empty() || f == v;
        if filter.from.is_some_and(|f| at < f)
            || filter.until.is_some_and(|u| at >= u)
            || !wanted(&filter.customer, &sell.account)
            || !wanted(&filter.destination, destination)
        {
            continue;
        }
        let buy = |i: usize| rated.xdrs.iter().find(|x| x.side == Side::Buy && x.attempt == Some(i as u16)).unwrap();
        let answered_at = call.attempts.iter().rposition(|a| a.answered_at.is_some());
        let last = answered_at.or(call.attempts.len().checked_sub(1));
        let mut line = |key: &str, code: &str, change: &dyn Fn(&mut Figures)| {
            change(lines.entry((key.to_owned(), code.to_owned())).or_default());
        };
        let revenue = |f: &mut Figures| {
            f.billed_sell += sell.billed;
            f.revenue.0 += sell.amount.0;
            f.revenue_provisional.0 += if sell.unrated.is_some() { sell.amount.0 } else { 0 };
        };
        if name == ReportName::Vendor {
            for (i, a) in call.attempts.iter().enumerate() {
                let x = buy(i);
                let up = a.answered_at.is_some();
                line(&x.account, x.currency.as_str(), &|f| {
                    f.attempts += 1;
                    f.answered += i64::from(up);
                    f.effective += i64::from(up || NER.contains(&a.sip_code.unwrap()));
                    f.talk += if up { a.duration } else { 0 };
                    f.pdd_sum += a.pdd.unwrap_or(0);
                    f.pdd_count += i64::from(a.pdd.is_some());
                    f.billed_buy += x.billed;
                    f.cost.0 += x.amount.0;
                });
                if Some(i) == last {
                    line(&x.account, sell.currency.as_str(), &revenue);
                }
            }
            continue;
        }
        let key = match name {
            ReportName::Customer => sell.account.to_string(),
            ReportName::Destination => destination.to_owned(),
            _ => facts::time::rfc3339(at.div_euclid(HOUR) * HOUR),
        };
        let up = call.answered();
        line(&key, sell.currency.as_str(), &|f| {
            f.attempts += 1;
            f.answered += i64::from(up);
            f.effective += i64::from(up || NER.contains(&call.sip_code.unwrap()));
            f.talk += call.duration;
            f.pdd_sum += call.pdd.unwrap_or(0);
            f.pdd_count += i64::from(call.pdd.is_some());
        });
        line(&key, sell.currency.as_str(), &revenue);
        for i in 0..call.attempts.len() {
            let x = buy(i);
            line(&key, x.currency.as_str(), &|f| {
                f.billed_buy += x.billed;
                f.cost.0 += x.amount.0;
            });
        }
    }
    lines.retain(|_, f| *f != Figures::default());
    lines
}

fn keyed(lines: &[Line]) -> BTreeMap<(String, String), Figures> {
    lines.iter().map(|l| ((l.key.clone(), l.currency.clone()), l.figures.clone())).collect()
}

#[test]
fn all_four_reports_are_exact_from_rollups_and_from_attempts() {
    let l = loaded();
    let mut session = l.engine.session();
    let base = Filter { ner_codes: NER.to_vec(), ..Filter::default() };
    let day = Filter { from: Some(DAY), until: Some(DAY + 24 * HOUR), ..base.clone() };
    let part = Filter { from: Some(DAY + HOUR / 3), until: Some(DAY + 7 * HOUR + 1), ..base.clone() };
    let customer = Filter { customer: "customer3".into(), ..day.clone() };
    let destination = Filter { destination: "Country 7 Mobile".into(), ..day.clone() };
    let both = Filter { destination: "Country 7 Mobile".into(), ..customer.clone() };
    for name in ReportName::ALL {
        for (filter, source) in [
            (&base, Source::Rollup),
            (&day, Source::Rollup),
            (&part, Source::Attempts),
            (&destination, Source::Rollup),
            (&both, if name == ReportName::Vendor { Source::Attempts } else { Source::Rollup }),
            (&customer, if name == ReportName::Vendor { Source::Attempts } else { Source::Rollup }),
        ] {
            let found = run(report(&mut session, name, filter)).unwrap();
            assert_eq!(found.source, source, "{name:?} {filter:?}");
            assert_eq!(keyed(&found.lines), expected(name, filter, &l.calls), "{name:?} {filter:?}");
            let sum: i64 = found.lines.iter().map(|line| line.figures.attempts).sum();
            assert_eq!(found.totals.iter().map(|t| t.figures.attempts).sum::<i64>(), sum);
            let table = found.table();
            assert!(table.rows.iter().chain(&table.totals).all(|row| row.len() == table.columns.len()));
        }
    }
    // A filter the rollup does not keep: the base table answers, and its calls are those the vendor was tried for.
    let vendor = Filter { vendor: "vendor2".into(), ..day.clone() };
    let found = run(report(&mut session, ReportName::Vendor, &vendor)).unwrap();
    assert!(found.lines.iter().all(|line| line.key == "vendor2"));
    let mut other = expected(ReportName::Vendor, &day, &l.calls);
    other.retain(|(key, _), _| key == "vendor2");
    assert_eq!(keyed(&found.lines), other);
}

#[test]
fn calls_are_found_and_the_newest_revision_is_shown() {
    let l = loaded();
    let mut session = l.engine.session();
    let one = l.calls.iter().find(|c| c.call.attempts.len() == 4 && c.call.answered()).unwrap();
    let by_id = Search { call_id: Some(one.call.call_id), ..Search::default() };
    let found = run(search(&mut session, &by_id)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].call_id, one.call.call_id.0);
    assert_eq!(found[0].attempts_made, 4);
    assert_eq!(found[0].started, one.call.started_at.micros());
    let sell = &one.xdrs[0];
    assert_eq!((Amount(found[0].sell_amount), found[0].sell_currency.as_str()), (sell.amount, sell.currency.as_str()));
    let buy: i128 = one.xdrs.iter().filter(|x| x.side == Side::Buy).map(|x| x.amount.0).sum();
    assert_eq!(found[0].buy_total, buy);

    let number = one.call.called.to_string();
    let by_number = run(search(&mut session, &Search { number, ..Search::default() })).unwrap();
    assert!(by_number.iter().any(|c| c.call_id == one.call.call_id.0));

    // Corrected calls once, as they are now: every customer's search gives exactly that customer's calls.
    let customer = "customer4";
    let mine = |c: &&RatedCall| c.xdrs[0].account == customer;
    let filter = Search { customer: customer.into(), limit: 1_000, ..Search::default() };
    let mut found: Vec<_> = run(search(&mut session, &filter)).unwrap().iter().map(|c| c.call_id).collect();
    let mut wanted: Vec<_> = l.calls.iter().filter(mine).map(|c| c.call.call_id.0).collect();
    let newest_first = found.clone();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let page = Search { limit: 10, offset: 10, ..filter };
    let second: Vec<_> = run(search(&mut session, &page)).unwrap().iter().map(|c| c.call_id).collect();
    assert_eq!(second, newest_first[10..20]);
    let quoted = Search { customer: "x' OR 1 = 1 --".into(), ..Search::default() };
    assert_eq!(run(search(&mut session, &quoted)).unwrap(), []);

    let tried = |c: &&RatedCall| c.xdrs.iter().any(|x| x.side == Side::Buy && x.account == "vendor5");
    let filter = Search { vendor: "vendor5".into(), limit: 1_000, ..Search::default() };
    assert_eq!(run(search(&mut session, &filter)).unwrap().len(), l.calls.iter().filter(tried).count());
    let unrated = Search { unrated: "any".into(), limit: 1_000, ..Search::default() };
    let count = l.calls.iter().filter(|c| c.xdrs.iter().any(|x| x.level == 0 && x.unrated.is_some())).count();
    assert_eq!(run(search(&mut session, &unrated)).unwrap().len(), count);
}

#[test]
fn live_series_suspense_and_files_tie_to_the_calls() {
    let l = loaded();
    let mut session = l.engine.session();
    let minutes = run(live(&mut session, DAY, DAY + 24 * HOUR, currency("USD"))).unwrap();
    assert_eq!(minutes.iter().map(|m| m.calls).sum::<i64>(), l.calls.len() as i64);
    let direct = |x: &&facts::Xdr| x.level == 0 && x.currency.as_str() == "USD";
    let margin: i128 = l.calls.iter().flat_map(|c| &c.xdrs).filter(direct).fold(0, |sum, x| match x.side {
        Side::Sell => sum + x.amount.0,
        Side::Buy => sum - x.amount.0,
    });
    assert_eq!(minutes.iter().map(|m| m.margin).sum::<i128>(), margin);

    let rows = run(suspense(&mut session, DAY, DAY + 24 * HOUR)).unwrap();
    let unrated: Vec<_> = l.calls.iter().flat_map(|c| &c.xdrs).filter(|x| x.unrated.is_some()).collect();
    assert_eq!(rows.iter().map(|r| r.sides).sum::<i64>(), unrated.len() as i64);
    assert_eq!(rows.iter().map(|r| r.provisional).sum::<i128>(), unrated.iter().map(|x| x.amount.0).sum::<i128>());

    let filter = Filter { ner_codes: NER.to_vec(), ..Filter::default() };
    let parquet = run(export(&mut session, ReportName::Customer, &filter, "Parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let csv = run(export(&mut session, ReportName::Hour, &filter, "CSVWithNames")).unwrap();
    assert!(String::from_utf8(csv).unwrap().starts_with("\"key\",\"sell\",\"buy\",\"calls\""));
    let one = run(sql(&mut session, "SELECT count() FROM attempts WHERE is_final = 1 AND sign = 1", "CSV")).unwrap();
    assert!(String::from_utf8(one).unwrap().trim().parse::<usize>().unwrap() >= l.calls.len());
    let ever = run(suspense(&mut session, i64::MIN, i64::MAX)).unwrap();
    assert_eq!(ever, rows);
    for evil in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
    ] {
        let error = run(sql(&mut session, evil, "CSV")).unwrap_err().to_string();
        assert!(error.contains("readonly") || error.contains("Code: 164") || error.contains("ACCESS"), "{error}");
    }
    let error = run(sql(&mut session, "DROP TABLE attempts", "CSV")).unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
}
