//! Rows that come again: the same file, an overlapping one, one equal row alone; and a record of the future that an
//! operator passes over. Each command is a process of its own that knows what came before from the data folder alone.

use std::fs;

use tests::Tandem;

/// Rows of an Asterisk without ids: nothing but their bytes tells them apart.
fn rows(numbers: impl Iterator<Item = u32>) -> String {
    let row = |n: u32| {
        let (minute, second) = (n / 60 % 60, n % 60);
        let at = |add: u32| format!("2023-07-01 10:{minute:02}:{:02}", (second + add).min(59));
        format!(
            "\"acme\",\"4930555000\",\"4315{n:06}\",\"from-acme\",\"4930555000\",\"SIP/acme-{n:08x}\",\
             \"PJSIP/vendor-a-{n:08x}\",\"Dial\",\"PJSIP/4315{n:06}@vendor-a\",\"{}\",\"\",\"{}\",1,0,\"NO ANSWER\",\
             \"DOCUMENTATION\"\n",
            at(0),
            at(1)
        )
    };
    numbers.map(row).collect()
}

fn house() -> Tandem {
    let tandem = Tandem::new();
    let site = "[site]\nlegal_entity = \"E\"\nbase_currency = \"USD\"\nlate_call_limit_days = 3650\n\
                [[carrier]]\nid = \"house\"\nname = \"E\"\n\
                [[account]]\nid = \"unidentified\"\ncarrier = \"house\"\ncurrency = \"USD\"\nunidentified = true\n\
                [[switch]]\nid = \"pbx\"\nformat = \"asterisk\"\ntime_zone = \"UTC\"\n";
    let path = tandem.home().join("site.toml");
    fs::write(&path, site).unwrap();
    tandem.run(&["apply", &path.display().to_string(), "--yes"]).ok();
    tandem
}

/// Imports a file and returns read, accepted, repeated, rejected, and the exit code.
fn import(tandem: &Tandem, name: &str, text: &str) -> ([u64; 4], i32) {
    let path = tandem.home().join(name);
    fs::write(&path, text).unwrap();
    let file = path.display().to_string();
    let ran = tandem.run(&["calls", "import", &file, "--switch", "pbx", "--json", "--no-engine"]);
    let code = ran.code.expect("no signal");
    let out = ran.expect_code(code);
    let summary: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let counts = ["read", "accepted", "repeated", "rejected"].map(|key| summary["summary"][key].as_u64().unwrap());
    (counts, code)
}

#[test]
fn a_run_of_equal_rows_is_a_repeat_and_a_lone_one_waits_for_a_person() {
    let tandem = house();
    let first = rows(0..400);
    assert_eq!(import(&tandem, "one.csv", &first), ([400, 400, 0, 0], 0));
    assert_eq!(import(&tandem, "one.csv", &first), ([400, 0, 400, 0], 0), "the same file");
    assert_eq!(import(&tandem, "copy.csv", &first), ([400, 0, 400, 0], 0), "the same file under another name");
    assert_eq!(import(&tandem, "two.csv", &rows(200..500)), ([300, 100, 200, 0], 0), "a file that overlaps");
    let lone = rows((600..605).chain([50]).chain(605..610));
    assert_eq!(import(&tandem, "three.csv", &lone), ([11, 10, 0, 1], 1), "a file with one equal row");
    assert_eq!(import(&tandem, "three.csv", &lone), ([11, 0, 11, 0], 0), "once with a person, it stays one");
    // The index is a cache: without it everything is read from the streams.
    fs::remove_dir_all(tandem.data().join("rater")).unwrap();
    assert_eq!(import(&tandem, "three.csv", &lone), ([11, 0, 11, 0], 0));

    let waiting = tandem.run(&["calls", "suspense", "--records", "--no-engine", "--json"]).json_lines();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!((&waiting[0]["reason"], &waiting[0]["line"]), (&"lone_repeat".into(), &"6".into()), "{waiting:?}");
    assert!(waiting[0]["advice"].as_str().unwrap().contains("/v1/call-events"), "{waiting:?}");
    tandem.run(&["ledger", "verify", "--no-engine"]).ok();
}

#[test]
fn an_order_is_refused_for_a_record_that_is_not_of_the_future() {
    let tandem = house();
    import(&tandem, "one.csv", &rows(0..40));
    for (partition, offset, says) in
        [("0", "1", "not in the future"), ("0", "999999", "there are records from"), ("99", "1", "partitions")]
    {
        let ran = tandem.run(&["config", "void", partition, offset, "--reason", "clock"]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(says) && ran.stderr.contains("nothing was ordered"), "{}", ran.stderr);
    }
}
