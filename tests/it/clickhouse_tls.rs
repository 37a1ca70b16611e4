//! A ClickHouse server over TLS with user and password: the real engine behind its own HTTP door, with TLS in front.
//! The same reports as ever, and nothing is sent to a server that cannot prove who it is.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tests::site::{self, SELL, SWITCH, cell, row_of};
use tests::tls::{Authority, TlsDoor};
use tests::{Tandem, cache, eventually};

const USER: &str = "tandem";
const PASSWORD: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn reports_come_from_a_server_over_tls_and_only_from_the_one_we_trust() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let authority = Authority::new();
    let door = TlsDoor::before(engine.port, &authority.sign("clickhouse", "DNS:localhost"));
    let url = format!("https://localhost:{}", door.port());
    let trusted = authority.file().display().to_string();
    let server = |url: &str, password: &str| {
        let tandem = Tandem::new().env("TANDEM_CLICKHOUSE", url).env("TANDEM_CLICKHOUSE_USER", USER);
        tandem.env("TANDEM_CLICKHOUSE_PASSWORD", password)
    };

    let tandem = server(&url, PASSWORD).env("SSL_CERT_FILE", &trusted);
    site::apply(&tandem);
    let file = site::file().display().to_string();
    tandem.run(&["calls", "import", &file, "--switch", SWITCH, "--wait"]).ok();
    let rows = tandem.run(&["report", "customer", "--format", "json"]).json_lines();
    let (sell, buy) = site::sums();
    let row = row_of(&rows, "customer", SELL);
    assert_eq!([cell(row, "revenue"), cell(row, "cost")], [sell, buy]);
    let checked = tandem.run(&["report", "check"]);
    assert!(checked.stderr.contains("reports and ledger agree to the last digit"), "{checked:?}");
    assert!(!tandem.data().join("engine").exists(), "no engine of our own was started beside the server");

    let refused = |tandem: &Tandem, why: &str| {
        let ran = tandem.run(&["report", "customer"]);
        assert!(ran.stderr.contains(why), "{why:?} is not said: {ran:?}");
        assert!(!ran.stderr.contains(PASSWORD), "the password is said: {ran:?}");
        ran.expect_code(3);
    };
    let wrong_password = server(&url, "not-the-password").env("SSL_CERT_FILE", &trusted);
    refused(&wrong_password, "wrong user or key");
    refused(&server(&url, PASSWORD), "certificate");
    let other_name = format!("https://127.0.0.1:{}", door.port());
    refused(&server(&other_name, PASSWORD).env("SSL_CERT_FILE", &trusted), "certificate");
    let stranger = Authority::new().file().display().to_string();
    refused(&server(&url, PASSWORD).env("SSL_CERT_FILE", &stranger), "certificate");
}

/// The engine as a server of its own: the body of the embedded one's child, with a password of ours.
struct Engine {
    child: Child,
    port: u16,
}

impl Engine {
    fn start(folder: &Path) -> Engine {
        let said = folder.join("said.json");
        let out = std::fs::File::create(&said).expect("the folder can be written");
        let mut command = Command::new(Tandem::binary());
        command.arg("engine-door").arg("--lib").arg(cache::engine()).arg("--path").arg(folder.join("data"));
        let mut child = command.stdin(Stdio::piped()).stdout(out).spawn().expect("the engine starts");
        let stdin = child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{PASSWORD}").expect("the engine reads its key");
        let port = eventually("the engine says its port", std::time::Duration::from_secs(60), || {
            let text = std::fs::read_to_string(&said).ok()?;
            let line: Value = serde_json::from_str(text.lines().next()?).ok()?;
            Some(line["port"].as_u64().unwrap_or_else(|| panic!("{line}")))
        });
        Engine { child, port: u16::try_from(port).expect("a port") }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
