//! Tests of `voice`: what a switch's attributes are read as, and the bytes that it is answered with.

use super::*;
use crate::clients::{Clients, Extending, UserIs};
use crate::sign::{check_answer, check_request};
use expect_test::{Expect, expect};

const SECRET: &[u8] = b"0123456789abcdef";

fn client() -> Client {
    let client = Client {
        name: "pop".to_owned(),
        network: [192, 0, 2, 1].into(),
        bits: 32,
        secret: SECRET.to_vec(),
        valid_from: None,
        valid_until: None,
        switch: "edge".to_owned(),
        message_authenticator: true,
        ignore_passwords: false,
        key: KeyFrom::H323ConfId,
        user: UserIs::Account,
        extending: Extending::Asks,
        dynamic: None,
    };
    Clients::new(vec![client.clone()]).unwrap();
    client
}

fn asked(make: impl FnOnce(&mut Builder) -> &mut Builder) -> Vec<u8> {
    let mut builder = sign::begin(Code::AccessRequest, 5);
    builder.add(types::USER_NAME, b"acme").add(types::CALLED_STATION_ID, b"4930123456");
    make(&mut builder);
    sign::request(builder, SECRET)
}

fn check(packet: &[u8], expect: Expect) {
    let packet = Packet::read(packet).unwrap();
    let lines = packet.attributes().filter(|attribute| attribute.kind != types::MESSAGE_AUTHENTICATOR);
    let text: Vec<String> = lines.map(|line| format!("{} {}", line.kind, line.value.escape_ascii())).collect();
    expect.assert_eq(&format!("{:?} {}\n{}", packet.code, packet.identifier, text.join("\n")));
}

#[test]
fn a_call_is_read_with_and_without_the_names_that_cisco_puts_before_values() {
    let with = asked(|builder| {
        builder.add(types::CALLING_STATION_ID, b"43152345");
        builder.cisco(cisco::CONF_ID, "h323-conf-id=8F 01").cisco(cisco::REMOTE_ADDRESS, "192.0.2.9")
    });
    let facts = call_facts(&Packet::read(&with).unwrap(), &client()).unwrap();
    assert_eq!((&*facts.key, &*facts.called, &*facts.caller), ("8F 01", "4930123456", "43152345"));
    assert_eq!((&*facts.user, &*facts.remote, facts.state), ("acme", "192.0.2.9", None));
    let without = asked(|builder| builder.cisco(cisco::CONF_ID, "8F 01"));
    assert_eq!(call_facts(&Packet::read(&without).unwrap(), &client()).unwrap().key, "8F 01");
    let pair = asked(|builder| builder.cisco(cisco::AVPAIR, "call-id=abc@host"));
    let by_call_id = Client { key: KeyFrom::CallId, ..client() };
    assert_eq!(call_facts(&Packet::read(&pair).unwrap(), &by_call_id).unwrap().key, "abc@host");
}

#[test]
fn a_request_that_names_no_call_or_wants_a_password_checked_is_refused() {
    let why = |packet: Vec<u8>| call_facts(&Packet::read(&packet).unwrap(), &client()).unwrap_err();
    assert_eq!(why(asked(|builder| builder)), Unasked::NoKey);
    for kind in CREDENTIALS {
        assert_eq!(why(asked(|builder| builder.add(kind, &[0; 16]))), Unasked::Password);
    }
    assert_eq!(why(asked(|builder| builder.add(types::STATE, b"other"))), Unasked::State);
    assert_eq!(why(asked(|builder| builder.add(types::CALLING_STATION_ID, &[0xff]).cisco(24, "1"))), Unasked::NotText);
    let mut empty = sign::begin(Code::AccessRequest, 5);
    empty.cisco(cisco::CONF_ID, "1");
    assert_eq!(why(sign::request(empty, SECRET)), Unasked::NoCalled);
}

#[test]
fn an_answer_brings_back_what_proxies_need_and_its_seconds_in_both_tongues() {
    let asked = asked(|builder| builder.add(types::PROXY_STATE, b"one").add(types::PROXY_STATE, b"two"));
    let asked = Packet::read(&asked).unwrap();
    let yes = accept(&asked, SECRET, 330, Some(&state(&[7; 16], 330)));
    check(
        &yes,
        expect![[r#"
            AccessAccept 5
            33 one
            33 two
            27 \x00\x00\x01J
            24 tandem1:\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x00\x00\x01J
            29 \x00\x00\x00\x01
            26 \x00\x00\x00\tg\x14h323-return-code=0
            26 \x00\x00\x00\tf\x16h323-credit-time=330"#]],
    );
    let no = reject(&asked, SECRET, "credit", &"ü".repeat(300));
    let packet = Packet::read(&no).unwrap();
    assert!(std::str::from_utf8(packet.get(types::REPLY_MESSAGE).unwrap()).unwrap().starts_with("credit: ü"));
    assert_eq!(packet.cisco().next().unwrap().value, b"h323-return-code=12");
    for answer in [yes, no, alive(&asked, SECRET, Code::AccessAccept)] {
        let packet = Packet::read(&answer).unwrap();
        assert_eq!(check_answer(&packet, SECRET, &asked.authenticator(), true), Ok(()));
    }
    let noted = noted(&asked, SECRET);
    let packet = Packet::read(&noted).unwrap();
    assert_eq!(check_answer(&packet, SECRET, &asked.authenticator(), false), Ok(()));
    assert_eq!(packet.attributes().map(|line| line.kind).collect::<Vec<_>>(), [types::PROXY_STATE; 2]);
}

#[test]
fn a_state_comes_back_whole_or_not_at_all() {
    let state = state(&[9; 16], 630);
    let again = asked(|builder| builder.add(types::STATE, &state).cisco(cisco::CONF_ID, "1"));
    assert_eq!(call_facts(&Packet::read(&again).unwrap(), &client()).unwrap().state, Some(([9; 16], 630)));
    (0..state.len()).for_each(|cut| assert_eq!(read_state(&state[..cut]), None));
}

#[test]
fn a_session_is_named_as_the_switch_named_it() {
    let begun = asked(|builder| builder.cisco(cisco::CONF_ID, "h323-conf-id=8F 01").add(types::PROXY_STATE, b"x"));
    let mut session = Session::of(&Packet::read(&begun).unwrap());
    let mut start = sign::begin(Code::AccountingRequest, 6);
    start.number(types::ACCT_STATUS_TYPE, 1).add(types::ACCT_SESSION_ID, b"s-1").add(types::USER_NAME, b"other");
    start.cisco(cisco::CALL_ORIGIN, "h323-call-origin=originate").number(types::ACCT_SESSION_TIME, 12);
    let start = sign::request(start, SECRET);
    let start = Packet::read(&start).unwrap();
    assert_eq!(check_request(&start, SECRET, true), Ok(()));
    let told = told(&start, &client());
    assert_eq!((told.status, told.seconds, &*told.origin, &*told.key), (Status::Start, Some(12), "originate", ""));
    session.learn(&told.session);
    let end = disconnect_request(3, &session, SECRET, 1);
    assert_eq!(check_request(&Packet::read(&end).unwrap(), SECRET, true), Ok(()));
    check(
        &end,
        expect![[r#"
            DisconnectRequest 3
            1 acme
            30 4930123456
            26 \x00\x00\x00\t\x18\x14h323-conf-id=8F 01
            44 s-1
            55 \x00\x00\x00\x01"#]],
    );
    check(
        &coa_request(4, &Session::default(), SECRET, 1, 600),
        expect![[r#"
            CoaRequest 4
            55 \x00\x00\x00\x01
            27 \x00\x00\x02X
            26 \x00\x00\x00\tf\x16h323-credit-time=600"#]],
    );
}
