//! What a peer should not give: refused by name, kept, alarmed, and the other streams go on.

use super::*;

/// Puts a record into a topic as nobody of this house does.
fn smuggle(place: &Place, topic: &str, value: &[u8]) {
    let record = bus::Record { key: topic.as_bytes(), value, timestamp_ms: 1 };
    place.bus.writer(topic).unwrap().append(0, &[record]).unwrap();
}

fn kept(place: &Place, stream: &str) -> String {
    let files = std::fs::read_dir(place.file("sites/quarantine").join(stream)).unwrap().flatten();
    let reasons = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    reasons.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn frames_of_an_old_epoch_are_refused_by_name_kept_and_the_new_owners_go_on() {
    let (a, b) = (Place::new("a", 1), Place::new("b", 2));
    let mut fenced_off = a.claim("ledger.a");
    frames(&mut fenced_off, 3, 1);
    let mut owner = a.claim("ledger.a");
    frames(&mut owner, 1, 2);
    // The first one does not know yet that it is none any more: its frame reaches the log.
    frames(&mut fenced_off, 1, 3);
    assert!(matches!(fenced_off.confirm(), Err(StreamError::Fenced { epoch: 2, .. })), "it learns it by reading back");
    let mut other = a.claim("xdrs.a.0");
    frames(&mut other, 2, 1);
    let (_at_a, at_b) = (a.start(vec![b.peer()]), b.start(vec![a.peer()]));
    until("the alarm", || trouble(&at_b, "ledger.a").contains("frame 4 of ledger.a is of the old epoch 1"));
    assert!(trouble(&at_b, "ledger.a").contains("has claimed epoch 2 before it"), "{}", trouble(&at_b, "ledger.a"));
    assert!(kept(&b, "ledger.a").contains("old epoch"), "the reason lies beside the record");
    frames(&mut other, 2, 4);
    until("the others", || b.state("xdrs.a.0").seq() == 4);
    frames(&mut owner, 2, 5);
    until("its owner's frames", || b.state("ledger.a").seq() == 6 && trouble(&at_b, "ledger.a").is_empty());
    assert_eq!(b.state("ledger.a"), a.state_with_voids("ledger.a"));
}

#[test]
fn a_frame_with_the_wrong_chain_is_refused_by_name_kept_and_its_place_is_filled_by_the_right_one() {
    let (a, b, thief) = (Place::new("a", 1), Place::new("b", 2), Place::new("c", 3));
    let mut owner = a.claim("ledger.a");
    frames(&mut owner, 3, 1);
    // The same stream, epoch and number, behind another history.
    frames(&mut thief.claim("ledger.a"), 4, 9);
    let forged = thief.values("ledger.a").pop().unwrap().1;
    smuggle(&a, "ledger.a", &forged);
    let (_at_a, at_b) = (a.start(vec![b.peer()]), b.start(vec![a.peer()]));
    until("the alarm", || trouble(&at_b, "ledger.a").contains("frame 4 of ledger.a is void: broken_chain"));
    assert_eq!(b.state("ledger.a").seq(), 3);
    assert!(kept(&b, "ledger.a").contains("broken_chain"), "the reason lies beside the record");
    frames(&mut owner, 2, 2);
    until("the right ones", || b.state("ledger.a").seq() == 5 && trouble(&at_b, "ledger.a").is_empty());
}

/// Shows a certificate that is not its own: the key is another one.
#[derive(Debug)]
struct Forger(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Forger {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl rustls::server::ResolvesServerCert for Forger {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// What one side has to say, to the other.
fn tell<A, B>(
    from: &mut rustls::ConnectionCommon<A>,
    to: &mut rustls::ConnectionCommon<B>,
) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut sent = wire.as_slice();
    while !sent.is_empty() {
        to.read_tls(&mut sent).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

/// Both sides talk until both are content or one is not: what it says.
fn handshake(mut client: rustls::ClientConnection, mut server: rustls::ServerConnection) -> Result<(), rustls::Error> {
    for _ in 0..10 {
        tell(&mut client, &mut server)?;
        tell(&mut server, &mut client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking(), "nobody refused and nothing came of it");
    Ok(())
}

#[test]
fn a_forged_signature_under_a_peers_certificate_opens_no_door_in_either_direction() {
    let places = [Place::new("a", 1), Place::new("b", 2), Place::new("c", 3)];
    let load = |place: &Place| identity::Identity::load(&place.file("c.pem"), &place.file("k.pem")).unwrap();
    let [a, b, thief] = [&places[0], &places[1], &places[2]].map(load);
    let certificate = |identity: &identity::Identity| identity.chain[0].clone();
    let key = rustls::crypto::ring::sign::any_supported_type(&thief.key).unwrap();
    // Certificates are public: the thief shows b's and signs with a key of its own.
    let forger = || Arc::new(Forger(Arc::new(rustls::sign::CertifiedKey::new(b.chain.clone(), key.clone()))));
    let name = || rustls::pki_types::ServerName::try_from("a.example").unwrap();
    let honest = tls::client(&b, certificate(&a)).unwrap();
    let door = tls::server(&a, vec![certificate(&b)]).unwrap();
    let open = |client: &Arc<rustls::ClientConfig>, server: &Arc<rustls::ServerConfig>| {
        let client = rustls::ClientConnection::new(client.clone(), name()).unwrap();
        handshake(client, rustls::ServerConnection::new(server.clone()).unwrap())
    };
    assert_eq!(open(&honest, &door), Ok(()));
    let mut forged = (*honest).clone();
    forged.client_auth_cert_resolver = forger();
    let bad = Err(rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature));
    assert_eq!(open(&Arc::new(forged), &door), bad, "as a client");
    // A client each: a session that was opened once is taken up again without certificates.
    let asks = || tls::client(&a, certificate(&b)).unwrap();
    let mut forged = (*tls::server(&b, vec![certificate(&a)]).unwrap()).clone();
    assert_eq!(open(&asks(), &Arc::new(forged.clone())), Ok(()));
    forged.cert_resolver = forger();
    assert_eq!(open(&asks(), &Arc::new(forged)), bad, "as a server");
}
