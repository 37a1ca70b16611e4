//! The life of a site as a carrier lives it: it joins running ones by an invitation, loses its disk and gets its books
//! back, is drained for maintenance and comes back.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::pair::{self, Address};
use tests::site::{self, BUY, SELL, SWITCH, amount, cell};
use tests::{Figures, Tandem, eventually, ports};

use crate::credit::DECK;
use crate::sites_credit::{Edge, SITE};

const PATIENCE: Duration = Duration::from_secs(120);

fn import(site: &Tandem, copy: u64) -> [u64; 2] {
    let file = site.home().join(format!("copy-{copy}.jsonl"));
    fs::write(&file, site::copy(copy).join("\n") + "\n").expect("the home can be written");
    let file = file.display().to_string();
    let rows = site.run(&["calls", "import", &file, "--switch", SWITCH, "--wait", "--json"]).json_lines();
    ["accepted", "repeated"].map(|key| rows[0]["summary"][key].as_u64().expect("a count"))
}

/// Invites `name`, lets `new` join, admits it at `host` and starts that again. `more`: what comes behind `join`.
fn join(host: &mut Tandem, new: &Tandem, url: &str, more: &[&str], admit: &[&str]) {
    let file = |name: &str| new.home().join(name).display().to_string();
    let (invitation, answer) = (file("invitation"), file("answer"));
    host.run(&["site", "invite", "vienna", "--url", url, "--output", &invitation]).ok();
    let mut words = vec!["site", "join", &*invitation, "--output", &*answer];
    words.extend(more);
    new.run(&words).ok();
    let mut words = vec!["site", "admit", &*answer];
    words.extend(admit);
    host.run(&words).ok();
    host.stop();
    host.start_listening(&["up", "--listen", "127.0.0.1:0"]);
}

/// Both sites' figures, once they are equal, for so many copies of the example's calls.
fn equal(sites: [&Tandem; 2], copies: i128) {
    pair::equal_roots(&sites);
    let (sell, buy) = site::sums();
    let figures = sites.map(|site| Figures::of(site, site));
    for one in &figures {
        assert_eq!(cell(site::row_of(&one.balances, "account", SELL), "owed"), sell * copies);
        assert_eq!(cell(site::row_of(&one.balances, "account", BUY), "owed"), -buy * copies);
        assert_eq!(one.reports, figures[0].reports, "reports differ between sites");
    }
}

#[test]
fn a_site_joins_by_an_invitation_loses_its_disk_and_gets_its_books_back() {
    let (mut main, mut vienna) = (Tandem::new(), Tandem::new());
    fs::create_dir_all(main.data()).expect("the data folder can be made");
    let text = format!("site = \"main\"\npartitions = 2\n[sites]\nlisten = \"127.0.0.1:{}\"\n", ports::free());
    fs::write(main.data().join("tandem.toml"), text).expect("the settings can be written");
    let up = ["up", "--listen", "127.0.0.1:0"];
    main.start_listening(&up);
    site::apply(&main);
    assert_eq!(import(&main, 0), [250, 0]);
    let url = format!("https://127.0.0.1:{}", ports::free());
    join(&mut main, &vienna, &url, &[], &[]);
    vienna.start_listening(&up);
    let log = vienna.server().log();
    assert!(log.contains("ledger.main: held to frame") && log.contains("may sell: its rights begin at zero"), "{log}");
    assert_eq!(import(&vienna, 1), [250, 0]);
    equal([&main, &vienna], 2);

    vienna.kill();
    fs::remove_dir_all(vienna.data()).expect("the disk is lost");
    let invitation = vienna.home().join("again").display().to_string();
    main.run(&["site", "invite", "vienna", "--url", &url, "--output", &invitation]).ok();
    let refused = vienna.run(&["site", "join", &invitation]);
    assert!(refused.code == Some(2) && refused.stderr.contains("say --lost-disk"), "{refused:?}");
    join(&mut main, &vienna, &url, &["--lost-disk"], &["--replace"]);
    let early = vienna.run(&["ledger", "balance"]);
    assert!(early.code == Some(2) && early.stderr.contains("has not met the others yet"), "{early:?}");
    vienna.start_listening(&up);
    let log = vienna.server().log();
    assert!(log.contains("ledger.vienna: frame ") && log.contains("new calls are refused (recovering) until"), "{log}");
    equal([&main, &vienna], 2);
    // Its switches' records, offered again, are known; new ones are booked behind them.
    assert_eq!(import(&vienna, 1), [0, 250]);
    assert_eq!(import(&vienna, 2), [250, 0]);
    equal([&main, &vienna], 3);
    let standing = pair::status(&vienna)["standing"].as_str().expect("words").to_owned();
    assert!(standing.starts_with("disk lost, sells again at "), "{standing}");
    // And after a restart of the site that came back.
    vienna.kill();
    vienna.start_listening(&up);
    assert_eq!(import(&vienna, 3), [250, 0]);
    equal([&main, &vienna], 4);
    let log = vienna.server().log();
    assert!(!log.contains("panicked"), "{log}");
    [main, vienna].iter_mut().for_each(Tandem::stop);
}

/// Ledgers reach the peers before rated calls do. What came back of a lost disk may so have booked calls whose frames
/// nobody has: they count once when the switch offers them again, and no other call is passed over in their place.
#[test]
fn calls_that_were_booked_in_frames_that_are_lost_count_once_when_they_come_again() {
    let addresses = [Address::loopback(), Address::loopback()];
    let mut sites = pair::folders(&["main", "vienna"], &addresses, "partitions = 1");
    let up = ["up", "--listen", "127.0.0.1:0"];
    let thin = sites[0].data().join("tandem.toml");
    let text = fs::read_to_string(&thin).expect("the settings can be read");
    fs::write(&thin, text.replace("[sites]\n", "[sites]\nbandwidth = 2000\n")).expect("the settings can be written");
    sites.iter_mut().for_each(|site| drop(site.start_listening(&up)));
    site::apply(&sites[0]);
    eventually("the configuration at vienna", PATIENCE, || {
        sites[1].run(&["config", "history", "--json"]).json_lines().first().map(drop)
    });
    let topic = |status: &Value, name: &str, what: &str| {
        let topics = status["exchange"]["peers"][0]["topics"].as_array().expect("topics");
        topics.iter().find(|one| one["topic"] == name).map_or(0, |one| one[what].as_u64().expect("a number"))
    };
    // Until the line is caught with the ledger across and calls still to come.
    let copies = (1..9).find(|copy| {
        assert_eq!(import(&sites[1], copy - 1), [250, 0]);
        let heads = pair::heads(&pair::status(&sites[1]));
        let whole = heads.into_iter().find(|(site, ..)| site == "vienna").expect("its own ledger").1;
        eventually("main has the ledger", PATIENCE, || {
            (topic(&pair::status(&sites[0]), "ledger.vienna", "seq") >= whole).then_some(())
        });
        sites[1].kill();
        let caught = topic(&pair::status(&sites[0]), "xdrs.vienna.0", "behind") > 0;
        if !caught {
            sites[1].start_listening(&up);
        }
        caught
    });
    let copies = copies.expect("ledgers cross before rated calls");
    // The settings and the certificates were kept elsewhere.
    let kept = |name: &str| name == "tandem.toml" || name == "site" || name.ends_with(".pem");
    for entry in fs::read_dir(sites[1].data()).expect("the data folder is there").flatten() {
        match entry.file_name().to_str().is_some_and(kept) {
            true => {}
            false if entry.path().is_dir() => fs::remove_dir_all(entry.path()).expect("the disk is lost"),
            false => fs::remove_file(entry.path()).expect("the disk is lost"),
        }
    }
    sites[1].run(&["site", "join", "--lost-disk"]).ok();
    sites[1].start_listening(&up);
    let log = sites[1].server().log();
    assert!(log.contains("of them are booked, empty frames stand in their places"), "{log}");
    // Nothing of its calls is left but what the ledger says; then the switch's file comes again, and a new one.
    for copy in 0..copies {
        assert_eq!(import(&sites[1], copy).iter().sum::<u64>(), 250);
    }
    assert_eq!(import(&sites[1], copies), [250, 0]);
    let text = fs::read_to_string(&thin).expect("the settings can be read");
    fs::write(&thin, text.replace("bandwidth = 2000\n", "")).expect("the settings can be written");
    sites[0].stop();
    sites[0].start_listening(&up);
    equal([&sites[0], &sites[1]], i128::from(copies) + 1);
    sites.iter_mut().for_each(Tandem::stop);
}

fn drained(site: &Tandem, words: &[&str]) -> (Option<i32>, Value) {
    let mut all = vec!["site", "drain", "--json"];
    all.extend(words);
    let ran = site.run(&all);
    (ran.code, serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {ran:?}")))
}

#[test]
fn a_drained_site_ends_its_calls_gives_its_rights_away_and_may_be_stopped() {
    let more = "partitions = 1\n[credit.new_customers]\nrestricted = false\n";
    let mut sites = pair::folders(&["main", "vienna"], &[Address::loopback(), Address::loopback()], more);
    let up = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
    let mut addresses: Vec<String> = sites.iter_mut().map(|site| site.start_listening(&up)).collect();
    site::apply_text(&sites[0], SITE, DECK);
    let give = ["site", "give", "acme", "40", "--to", "vienna", "--id", "g", "--reason", "it sells too"];
    eventually("main has rights to give", PATIENCE, || (sites[0].run(&give).code == Some(0)).then_some(()));
    let hold = {
        let vienna = Edge::new(&sites[1], &addresses[1]);
        let begun =
            eventually("a call at vienna", PATIENCE, || vienna.authorise("c1").ok().filter(|call| call.0 == 360));
        let (code, far) = drained(&sites[1], &["--reason", "new disks", "--by", "eva", "--no-wait"]);
        assert_eq!((code, &far["done"], &far["open_holds"]), (Some(1), &false.into(), &1.into()), "{far}");
        assert_eq!(vienna.authorise("c2"), Err("draining".to_owned()));
        assert_eq!(vienna.authorise("c1").map(|call| call.0), Ok(360), "what was answered is answered again");
        begun.2
    };
    // It is drained after its death too.
    sites[1].kill();
    addresses[1] = sites[1].start_listening(&up);
    {
        let (main, vienna) = (Edge::new(&sites[0], &addresses[0]), Edge::new(&sites[1], &addresses[1]));
        assert_eq!(vienna.authorise("c2"), Err("draining".to_owned()));
        eventually("the open call goes on", PATIENCE, || vienna.extend(&hold, 360).is_ok().then_some(()));
        assert!(main.authorise("c2").is_ok(), "the other site takes calls");
        vienna.end("c1", &hold, 300);
        let (code, far) = drained(&sites[1], &["--reason", "new disks"]);
        assert_eq!(
            (code, &far["done"], &far["to_give"], &far["gone"]),
            (Some(0), &true.into(), &0.into(), &Value::Array(vec![]))
        );
        let rights = |edge: &Edge<'_>| edge.rights().iter().map(|row| row[0]).collect::<Vec<_>>();
        eventually("all rights are at main, known at both", PATIENCE, || {
            let held = amount("0.6");
            let wanted = vec![amount("99.5") - held, 0];
            (rights(&main) == wanted && rights(&vienna) == wanted).then_some(())
        });
        let told = pair::status(&sites[0])["exchange"]["peers"][0]["standing"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains("by eva: new disks"), "main knows: {told:?}");
        let entries = sites[0].run(&["site", "status"]);
        assert!(entries.stdout.contains("drained"), "{entries:?}");
    }
    sites[1].stop();
    eventually("main sells all of it", PATIENCE, || {
        let main = Edge::new(&sites[0], &addresses[0]);
        main.authorise("c3").ok().map(drop)
    });
    addresses[1] = sites[1].start_listening(&up);
    let vienna = Edge::new(&sites[1], &addresses[1]);
    assert_eq!(vienna.authorise("c4"), Err("draining".to_owned()));
    let (code, _) = drained(&sites[1], &["--undo"]);
    assert_eq!(code, Some(0));
    eventually("vienna sells again with rights that it pulls", PATIENCE, || vienna.authorise("c4").ok().map(drop));
    pair::equal_roots(&[&sites[0], &sites[1]]);
    sites.iter_mut().for_each(Tandem::stop);
}
