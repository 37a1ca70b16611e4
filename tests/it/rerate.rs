//! Runs over past calls through the binary: previewed, posted through every death, refused where something changed,
//! taken back; unrated calls and calls of another customer priced again. The measure is a site that had the right deck
//! from the beginning (balances and reports), and for deaths one that nobody killed (everything, state root included).

use std::fs;
use std::path::PathBuf;

use bus::failpoint::RUNS;
use serde_json::Value;
use tests::deaths::FAILPOINT;
use tests::site::{self, BUY, SELL, SWITCH, amount, cell, row_of};
use tests::{Figures, Kafka, Tandem, http};

/// The example site with `change` made to its customer's deck, line by line; the header is left alone.
pub(crate) fn site_with(tandem: &Tandem, name: &str, change: impl Fn(&str) -> Option<String>) -> PathBuf {
    let to = tandem.home().join(name);
    fs::create_dir_all(to.join("decks")).expect("a folder");
    for file in ["site.toml", "decks/alba-sell.csv", "decks/borea-buy.csv"] {
        fs::copy(site::fixture("site").join(file), to.join(file)).expect("the fixture can be copied");
    }
    let deck = to.join("decks/alba-sell.csv");
    let text = fs::read_to_string(&deck).expect("the deck");
    let mut lines = text.lines();
    let header = lines.next().expect("a header").to_owned();
    let all: Vec<String> = std::iter::once(header).chain(lines.filter_map(change)).collect();
    fs::write(&deck, all.join("\n") + "\n").expect("the deck can be written");
    to
}

/// Twice the price: the digits of a rate added to themselves.
pub(crate) fn doubled(line: &str) -> Option<String> {
    let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
    for cell in &mut cells[4..6] {
        let twice = 2 * amount(cell);
        *cell = format!("{}.{:012}", twice / amount("1"), twice % amount("1"));
    }
    Some(cells.join(","))
}

fn apply(tandem: &Tandem, path: &std::path::Path) {
    tandem.run(&["apply", &path.display().to_string(), "--yes"]).ok();
}

fn import(tandem: &Tandem) {
    let file = site::file().display().to_string();
    tandem.run(&["calls", "import", &file, "--switch", SWITCH, "--wait"]).ok();
}

fn owed(tandem: &Tandem, account: &str) -> i128 {
    cell(row_of(&tandem.run(&["ledger", "balance", "--json"]).json_lines(), "account", account), "owed")
}

fn run_json(tandem: &Tandem, arguments: &[&str]) -> Value {
    tandem.run(arguments).json_lines().remove(0)
}

/// Balances and reports; turnover and entries tell how a site came to them.
fn same_money(one: &Figures, other: &Figures) -> bool {
    one.balances == other.balances && one.reports == other.reports
}

/// Figures of a site that never had another configuration.
fn quiet(name: &str, change: impl Fn(&str) -> Option<String>) -> Figures {
    let tandem = Tandem::new();
    apply(&tandem, &site_with(&tandem, name, change));
    import(&tandem);
    Figures::of(&tandem, &tandem)
}

#[test]
fn a_deck_that_came_late_is_booked_once_through_every_death_and_undone() {
    let (mut killed, first) = late_deck(Tandem::new(), &RUNS.map(Some));
    let (quiet_one, _) = late_deck(Tandem::new(), &[None; 5]);
    let (figures, wanted) = (Figures::of(&killed, &killed), Figures::of(&quiet_one, &quiet_one));
    assert!(figures == wanted, "deaths show: {:?} and {:?}", figures.proof, wanted.proof);
    let dear = quiet("late", doubled);
    assert!(same_money(&figures, &dear), "not the balances and reports of a site that had the deck from the beginning");
    assert_eq!(killed.run(&["rerate", "proposals", "--json"]).json_lines().len(), 0);
    on_the_console(&mut killed, &first);
    killed.run(&["rerate", "undo", &first, "--reason", "it was the wrong deck"]).ok();
    let before = quiet("first", |line| Some(line.to_owned()));
    assert!(same_money(&Figures::of(&killed, &killed), &before), "undone, and not as it was before");
}

#[test]
fn a_run_on_kafka_that_dies_while_it_is_posted_and_while_it_is_undone_comes_to_the_embedded_figures() {
    let kafka = Kafka::start();
    let on_kafka = Tandem::new().env("TANDEM_KAFKA", &kafka.bootstrap());
    let (killed, _) = late_deck(on_kafka, &[Some("run.before-frame"), Some("run.frame-sent")]);
    let (quiet_one, _) = late_deck(Tandem::new(), &[None; 2]);
    let (figures, wanted) = (Figures::of(&killed, &killed), Figures::of(&quiet_one, &quiet_one));
    assert!(figures == wanted, "Kafka shows: {:?} and {:?}", figures.proof, wanted.proof);
}

/// A deck that came late is posted, undone, posted again and so on, each time dying at one of these failpoints. Gives
/// the site and the run that was posted last.
fn late_deck(mut tandem: Tandem, deaths: &[Option<&str>]) -> (Tandem, String) {
    site::apply(&tandem);
    import(&tandem);
    apply(&tandem, &site_with(&tandem, "late", doubled));
    let proposals = tandem.run(&["rerate", "proposals", "--json"]).json_lines();
    assert_eq!(proposals.len(), 1, "{proposals:?}");
    let (first, (sell, _)) = (&proposals[0], site::sums());
    assert_eq!([&first["deck"], &first["priced_by"], &first["in_force"]], ["alba-sell", "1", "2"]);
    assert_eq!(cell(first, "before"), sell);
    let dear = cell(first, "after");
    let mut posted = String::new();
    for (number, failpoint) in deaths.iter().enumerate() {
        let command = if number % 2 == 0 {
            posted = previewed(&tandem, sell);
            ["rerate", "post", &posted]
        } else {
            ["rerate", "undo", &posted]
        };
        let command: Vec<&str> = command.into_iter().chain(["--reason", "the deck came late"]).collect();
        match failpoint {
            None => drop(tandem.run(&command).ok()),
            Some(failpoint) => {
                let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
                // The second frame: part of the run stands in the log.
                let pass = if *failpoint == "run.before-frame" { 2 } else { 1 };
                tandem.set_env(FAILPOINT, &format!("{failpoint}:{pass}"));
                let died = tandem.run(&command);
                tandem.set_env(FAILPOINT, "");
                let words = format!("failpoint {failpoint} reached");
                assert!(died.code.is_none() && died.stderr.contains(&words), "{died:?}");
            }
        }
        let newest = run_json(&tandem, &["rerate", "list", "--json"])["run"].as_str().expect("an id").to_owned();
        for _ in 0..2 {
            let again = run_json(&tandem, &["rerate", "post", &newest, "--reason", "again", "--json"]);
            assert_eq!((&again["posted"], &again["refused"]), (&Value::from(132), &Value::from(0)), "{failpoint:?}");
        }
        assert_eq!(owed(&tandem, SELL), if number % 2 == 0 { dear } else { sell }, "after {failpoint:?}");
    }
    (tandem, posted)
}

/// A preview over the customer's calls: it posts nothing, and no second one is made over them.
fn previewed(tandem: &Tandem, sell: i128) -> String {
    let preview = run_json(tandem, &["rerate", "preview", "--account", SELL, "--json"]);
    let total = &preview["totals"][0];
    assert_eq!((&preview["calls"], &total["rises"], &total["falls"]), (&132.into(), &"132".into(), &"0".into()));
    assert_eq!(cell(total, "before"), sell);
    assert_eq!(cell(total, "after") - cell(total, "before"), cell(total, "difference"));
    assert_eq!(owed(tandem, SELL), sell, "a preview posts nothing");
    let other = tandem.run(&["rerate", "preview"]);
    assert!(other.stderr.contains("is open for agreement alba-standard"), "{other:?}");
    other.expect_code(2);
    preview["run"].as_str().expect("an id").to_owned()
}

/// Runs have a page each.
fn on_the_console(tandem: &mut Tandem, run: &str) {
    let base = tandem.start_listening(&["up", "--listen", "127.0.0.1:0"]);
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token");
    let headers = [("authorization", &*format!("Bearer {}", token.trim()))];
    let page = |path: &str| http::request("GET", &format!("{base}{path}"), &headers, None).expect("an answer").body;
    assert!(page("/runs").contains(&format!("/runs/{run}")), "{}", page("/runs"));
    let one = page(&format!("/runs/{run}"));
    for word in ["United Kingdom", "30.88818", "61.77636", "the deck came late", "132 calls; 0 refused"] {
        assert!(one.contains(word), "{word} is not on the page: {one}");
    }
    let calls = tandem.run(&["sql", "SELECT hex(call_id) AS id FROM attempts WHERE sign = -1 LIMIT 1", "--json"]);
    let id = calls.json_lines()[0]["id"].as_str().expect("an id").to_lowercase();
    let call = page(&format!("/calls/{id}"));
    assert!(call.contains(&format!("run {run}")) && call.contains("first, xdrs.main."), "{call}");
    tandem.stop();
}

#[test]
fn what_changed_since_the_preview_is_refused_and_listed_and_the_rest_is_posted() {
    let tandem = Tandem::new();
    site::apply(&tandem);
    import(&tandem);
    apply(&tandem, &site_with(&tandem, "late", doubled));
    let run = run_json(&tandem, &["rerate", "preview", "--json"])["run"].as_str().expect("an id").to_owned();
    // One more record of a call that was rated long ago: late truth, priced by what is in force now.
    let line = site::lines().into_iter().find(|line| line.contains("\"id\": 100053,")).expect("the record");
    let late = tandem.home().join("late.jsonl");
    fs::write(&late, line.replace("\"id\": 100053,", "\"id\": 900053,") + "\n").expect("a file");
    let late = late.display().to_string();
    tandem.run(&["calls", "import", &late, "--switch", SWITCH, "--wait"]).ok();
    let (sell, buy) = site::sums();
    assert_eq!(owed(&tandem, SELL), sell + amount("0.10863"), "twice the price for one call");
    let posted = tandem.run(&["rerate", "post", &run, "--reason", "the deck came late"]);
    assert!(posted.stderr.contains("131 calls posted"), "{posted:?}");
    assert!(posted.stderr.contains("1 calls had changed since the preview") && posted.stderr.contains("not_current"));
    posted.expect_code(1);
    // Late truth for a call of the run: it is listed for it.
    let line = site::lines().into_iter().find(|line| line.contains("\"id\": 100168,")).expect("the record");
    fs::write(&late, line.replace("\"id\": 100168,", "\"id\": 900168,") + "\n").expect("a file");
    tandem.run(&["calls", "import", &late, "--switch", SWITCH, "--wait"]).ok();
    let shown = run_json(&tandem, &["rerate", "show", &run[..8], "--json"]);
    assert_eq!([&shown["outcome"]["refused"], &shown["outcome"]["replaced"]], [&Value::from(1); 2], "{shown}");
    // Every call stands at the price of the deck in force, whichever way it came there.
    let dear = quiet("late", doubled);
    assert_eq!(owed(&tandem, SELL), cell(row_of(&dear.balances, "account", SELL), "owed"));
    assert_eq!(owed(&tandem, BUY), -buy);
    let customers = Figures::of(&tandem, &tandem).reports.remove(0);
    let revenue = |rows: &[Value]| cell(row_of(rows, "customer", SELL), "revenue");
    assert_eq!(revenue(&customers), revenue(&dear.reports[0]));
}

#[test]
fn what_had_no_price_gets_one_and_a_customer_who_moved_in_pays_from_that_hour() {
    let tandem = Tandem::new();
    let gap = site_with(&tandem, "gap", |line| (!line.contains("United Kingdom")).then(|| line.to_owned()));
    apply(&tandem, &gap);
    import(&tandem);
    let suspense = |tandem: &Tandem| tandem.run(&["calls", "suspense", "--json"]).json_lines();
    let without: i128 =
        suspense(&tandem).iter().map(|row| row["sides"].as_str().map_or(0, |n| n.parse().unwrap())).sum();
    assert!(without > 0, "nothing is unrated");
    site::apply(&tandem);
    let none = tandem.run(&["calls", "recycle", "--reason", "no_deck", "--yes"]);
    assert!(none.stderr.contains("nothing that is booked would change"), "{none:?}");
    tandem.run(&["calls", "recycle", "--reason", "no_rate", "--yes"]).ok();
    let (sell, buy) = site::sums();
    assert_eq!((owed(&tandem, SELL), owed(&tandem, BUY)), (sell, -buy));
    assert_eq!(suspense(&tandem), Vec::<Value>::new());
    let whole = quiet("whole", |line| Some(line.to_owned()));
    assert!(same_money(&Figures::of(&tandem, &tandem), &whole), "not as if the deck had been whole");

    // From noon on the customer's number at the switch belonged to another carrier; we learn of it now.
    let moved = site_with(&tandem, "moved", |line| Some(line.to_owned()));
    let noon = "2023-07-01T12:00:00Z";
    let text = fs::read_to_string(moved.join("site.toml")).expect("the site");
    let text = text.replacen("account = \"11\"", &format!("account = \"11\"\nvalid_until = \"{noon}\""), 1);
    let carol = format!(
        "\n[[carrier]]\nid = \"carol\"\nname = \"Carol\"\n[[account]]\nid = \"carol-usd\"\ncarrier = \"carol\"\n\
         currency = \"USD\"\n[[agreement]]\nid = \"carol-standard\"\naccount = \"carol-usd\"\nproduct = \"standard\"\n\
         side = \"sell\"\ndeck = \"alba-sell\"\namount_rounding = \"half_up\"\namount_decimals = 5\n\
         [[trunk]]\nid = \"carol-in\"\naccount = \"carol-usd\"\nproduct = \"standard\"\nside = \"sell\"\n\
         [[trunk.rule]]\nswitch = \"yeti-1\"\naccount = \"11\"\nvalid_from = \"{noon}\"\n"
    );
    fs::write(moved.join("site.toml"), text + &carol).expect("the site can be written");
    apply(&tandem, &moved);
    let records = site::records();
    let after: i128 = records.iter().filter(|r| r.started.as_str() >= &noon[..19]).map(|r| r.sell).sum();
    let preview = run_json(&tandem, &["rerate", "preview", "--from", "2023-07-01T12:00:00Z", "--json"]);
    let rows = preview["rows"].as_array().expect("rows");
    let sum = |account: &str, key: &str| -> i128 {
        rows.iter().filter(|row| row["account"] == account).map(|row| cell(row, key)).sum()
    };
    assert_eq!([sum(SELL, "before"), sum(SELL, "after")], [after, 0]);
    assert_eq!([sum("carol-usd", "before"), sum("carol-usd", "after")], [0, after]);
    let run = preview["run"].as_str().expect("an id");
    tandem.run(&["rerate", "post", run, "--reason", "carol moved in"]).ok();
    assert_eq!([owed(&tandem, SELL), owed(&tandem, "carol-usd")], [sell - after, after]);
    let customers = tandem.run(&["report", "customer", "--format", "json"]).json_lines();
    assert_eq!(cell(row_of(&customers, "customer", "carol-usd"), "revenue"), after);
    tandem.run(&["report", "check"]).ok();
    tandem.run(&["ledger", "verify"]).ok();
}

#[test]
fn what_cannot_be_asked_of_a_run_is_said() {
    let tandem = Tandem::new();
    site::apply(&tandem);
    let says = |arguments: &[&str], words: &str| {
        let ran = tandem.run(arguments);
        assert!(ran.stderr.contains(words), "{words:?} is not said: {}", ran.stderr);
        ran.expect_code(2);
    };
    says(&["rerate", "post", "abc", "--reason", "x"], "there is no run abc");
    says(&["rerate", "preview", "--account", "nobody"], "account \"nobody\" is not in the configuration");
    says(&["rerate", "preview", "--deck", "alba-sell@x"], "\"x\" is no number");
    says(&["rerate", "preview", "--deck", "alba-sell@9"], "deck \"alba-sell\" has no version 9");
    says(&["rerate", "preview", "--config", "9"], "there is no configuration version 9");
    says(&["rerate", "preview", "--from", "2023-07-02", "--until", "2023-07-01"], "is not before until");
    says(&["calls", "recycle", "--reason", "bad_luck"], "there is no reason \"bad_luck\"; there are: unknown_account");
}
