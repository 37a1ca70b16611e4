//! Decks made on the console, in a real browser: a sell deck by its recipe with the reason of each price, an older version
//! back, a carrier's names beside ours; each a preview first, written by a person's word.

use serde_json::Value;
use tests::{Browser, Tandem};

use crate::console::{enter, fits};
use crate::console_imports::{come, file, leave, set, state, versions, write};

const ALBA: &str = "code;destination;rate USD;increment;effective\n49;Germany;0.01;60/60;2026-01-01\n\
                    4915;Germany - Mobile;0.04;1/1;2026-01-01\n33;France;0.02;1/1;2026-01-01\n";
const BOREA: &str =
    "code;destination;rate USD;increment;effective\n49;DEU;0.012;1/1;2026-01-01\n491;DEU GSM;0.05;1/1;2026-01-01\n";
const RECIPE: &str =
    "deck = \"sell\"\nbuy = [\"alba\", \"borea\"]\nincrement = \"60/60\"\n[margin]\npercent = \"10\"\n";

fn import(tandem: &Tandem, deck: &str, text: &str) {
    let path = file(tandem, &format!("{deck}.csv"), text).display().to_string();
    let args = ["deck", "import", &path, "--deck", deck, "--az", "--received", "2026-01-10"];
    tandem.run(&[&args[..], &["--by", "anna", "--reason", "notice", "--yes"]].concat()).ok();
}

fn price(tandem: &Tandem, number: &str) -> String {
    let out = tandem.run(&["deck", "price", number, "--deck", "sell", "--at", "2026-03-01", "--json"]);
    let row: Value = serde_json::from_str(out.stdout.trim()).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    row["rate"]["next_rate"].as_str().unwrap_or("-").to_owned()
}

/// Fills the recipe's form in and makes it, to the end of the job's turn.
fn make(browser: &Browser, form: &str, recipe: &str) {
    set(browser, "recipe", recipe);
    set(browser, "effective", "2026-02-01");
    set(browser, "announced", "2026-02-01");
    leave(browser, &format!("{form} > button"));
    come(browser);
}

#[test]
fn a_sell_deck_is_made_previewed_written_and_brought_back_on_the_console() {
    let mut tandem = Tandem::new();
    let base = tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    for (deck, text) in [("alba", ALBA), ("borea", BOREA)] {
        import(&tandem, deck, text);
    }
    let browser = Browser::start(1280, 1200);
    enter(&browser, &base, &tandem);

    // A recipe that cannot be read is said at once; one that cannot be followed is asked about by its job.
    browser.goto(&format!("{base}/deck-make"));
    fits(&browser, "make-1280", 1280);
    set(&browser, "recipe", &RECIPE.replace("percent", "percents"));
    leave(&browser, "form.upload > button");
    browser.await_text("unknown field `percents`");
    browser.goto(&format!("{base}/deck-make"));
    make(&browser, "form.upload", &RECIPE.replace("\"borea\"", "\"cetus\""));
    assert_eq!(state(&browser), "asks", "{}", browser.page_text());
    browser.await_text("deck \"cetus\" is not in the configuration");
    make(&browser, "details[open] form.upload", RECIPE);
    assert_eq!(state(&browser), "previewed", "{}", browser.page_text());
    let job = browser.url();

    // Every price with its reason, the same as the command's; nothing is written yet.
    let reason = "#reasons tr:has(td[data-label='Code'][data-value='4915'])";
    assert_eq!(browser.find(&format!("{reason} td[data-label='Price']")).text(), "0.044");
    assert_eq!(browser.find(&format!("{reason} td[data-label='Vendor']")).text(), "alba");
    fits(&browser, "make-preview-1280", 1280);
    let recipe = file(&tandem, "sell.toml", RECIPE).display().to_string();
    let why = tandem.home().join("why.csv").display().to_string();
    let args = ["deck", "make", &recipe, "--effective", "2026-02-01", "--announced", "2026-02-01", "--explain", &why];
    tandem.run(&[&args[..], &["--by", "anna", "--reason", "x"]].concat()).expect_code(1);
    let csv = browser.script(&format!(
        "const x = new XMLHttpRequest(); x.open('GET', '{job}/why.csv', false); x.send(); return x.responseText"
    ));
    assert_eq!(csv.as_str(), Some(std::fs::read_to_string(&why).expect("the command's reasons").as_str()));
    assert!(versions(&tandem, "sell").is_empty(), "nothing is written by a preview");

    browser.script("document.querySelector('.act [name=remember]').checked = true");
    write(&browser, "sell", "anna");
    browser.await_text("in force as version 1 of deck sell");
    assert_eq!(price(&tandem, "49151"), "0.044");

    // Made again with another margin, from the recipe that was remembered.
    browser.goto(&format!("{base}/deck-make?deck=sell"));
    let kept = browser.script("return document.querySelector('[name=recipe]').value");
    assert_eq!(kept.as_str().map(str::trim), Some(RECIPE.trim()));
    make(&browser, "form.upload", &RECIPE.replace("\"10\"", "\"20\""));
    write(&browser, "sell", "bob");
    browser.await_text("in force as version 2 of deck sell");
    assert_eq!(price(&tandem, "49151"), "0.048");

    // Back to the first version: a preview, then a person's word.
    browser.goto(&format!("{base}/decks/sell"));
    fits(&browser, "deck-made-1280", 1280);
    leave(&browser, "td[data-label='Back to it'] a");
    come(&browser);
    assert_eq!(state(&browser), "previewed", "{}", browser.page_text());
    assert_eq!(browser.find_all("#changes td[data-label='Change'][data-value='decrease']").len(), 4);
    assert_eq!(price(&tandem, "49151"), "0.048", "nothing is written by a preview");
    write(&browser, "sell", "carla");
    browser.await_text("in force as version 3 of deck sell");
    assert_eq!(price(&tandem, "49151"), "0.044");
    let last = tandem.run(&["deck", "imports", "sell", "--json"]).json_lines().pop().expect("a record");
    assert_eq!((&last["kind"], &last["by"]), (&"rollback".into(), &"carla".into()));

    // Names: the carrier's beside ours, and a mapping that his template takes.
    browser.goto(&format!("{base}/deck-names"));
    fits(&browser, "names-1280", 1280);
    set(&browser, "deck", "alba");
    browser.find("input[type=file]").type_text(&file(&tandem, "borea.csv", BOREA).display().to_string());
    leave(&browser, "form.upload > button");
    come(&browser);
    let ours = "tr:has(td[data-label='Their name'][data-value='DEU']) td[data-label='Our name']";
    assert_eq!(browser.find(ours).text(), "Germany");
    assert!(browser.find("#mapping").text().contains("\"DEU\" = \"Germany\""), "{}", browser.page_text());
    // The recipe that could not be read was answered with 400, and the browser says so.
    let errors: Vec<String> = browser.errors().into_iter().filter(|error| !error.contains("status of 400")).collect();
    assert_eq!(errors, Vec::<String>::new(), "the pages' own errors");
    tandem.stop();
}
