//! The other sites: their ledgers' frames are folded from their copies on the local bus, messages come and go, and the
//! rules of `accounting::credit` are asked. What they append stands in this ledger's own frames, which name how far the
//! others' streams were folded (design 8.3 to 8.8).

use accounting::credit::{Action, Message, Settings, Site};
use bus::stream::{Accepted, FrameReader, StreamReader};
use facts::Amount;
use facts::config::Config;
use facts::entry::{LedgerItem, ReleaseWhy};
use facts::stream::{Input, orders_in};
use facts::xdr::Position;
use smol_str::SmolStr;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::doubles::{ENDED_MAX, Ended};
use super::items::{Named, foreign_currency};
use super::rights::Question;
use super::shares::limit_of_this_site;
use super::{Answer, Core, LedgerOptions, wall_micros};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::mail;
use crate::sites::{ALARMS_MAX, Double};
use crate::streams::ledger_source;

/// Between two tries to open a copy that is not there yet.
const LOOK: Duration = Duration::from_millis(500);
/// Ticks after an announcement by which clocks of two sites surely differ less.
const LATE_TICKS: i64 = 30;
/// Messages taken in one turn.
const MAIL_MAX: usize = 256;

/// Another site's ledger, as copied here.
pub(super) struct Peer {
    pub number: u16,
    pub name: SmolStr,
    pub stream: SmolStr,
    pub(super) reader: Option<StreamReader>,
    looked_at: Option<Instant>,
    pub frames: FrameReader,
    /// Why its stream is not folded on. A stream that cannot be folded stays where it is; the others go on.
    pub trouble: Option<String>,
    pub(super) halted: bool,
}

/// The rules, and everything around them that a crash may lose.
pub(super) struct Sites {
    pub rules: Site,
    pub peers: Vec<Peer>,
    pub questions: HashMap<u64, Question>,
    pub next_question: u64,
    ticked_at: Instant,
    config_seq: Option<u64>,
    /// Where the window of accounts that are announced begins.
    pub window: SmolStr,
    pub doubles: BTreeMap<(u8, [u8; 16]), Double>,
    /// Orders that stood twice and were taken back at one site, oldest first.
    pub settled: VecDeque<Double>,
    pub alarms: VecDeque<String>,
    /// Holds that ended with their charge at other sites, lately.
    pub ended: Ended,
    /// While this site is drained: accounts of which it still has rights.
    pub to_give: Option<u64>,
    /// This site's streams have been read as far as its own frames name them.
    pub opened: bool,
    /// By site: the highest frame that it has announced, and when that was heard, microseconds.
    pub said: BTreeMap<u16, (u64, i64)>,
    /// Every account is looked at once: what was folded before a restart is not read again.
    pub(super) look_at_all: bool,
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4)
}

impl Sites {
    pub fn open(options: &LedgerOptions) -> Option<Self> {
        if options.peers.is_empty() {
            return None;
        }
        let me = options.number;
        let mut sites: Vec<u16> = options.peers.iter().map(|(number, _)| *number).collect();
        sites.push(me);
        sites.sort_unstable();
        sites.dedup();
        let now = wall_micros();
        let settings = Settings {
            me,
            sites,
            config_site: options.config_site,
            pull_wait: micros(options.pull_wait),
            silent_after: micros(options.tick).saturating_mul(3),
            call_limit: 0,
            surplus: Amount::ZERO,
            repay_at_once: true,
        };
        let peer = |(number, name): &(u16, SmolStr)| {
            let stream = ledger_source(name).stream;
            let frames = FrameReader::new(options.bus.clone(), options.ids.clone(), stream.clone());
            let (number, name) = (*number, name.clone());
            Peer { number, name, stream, reader: None, looked_at: None, frames, trouble: None, halted: false }
        };
        Some(Self {
            rules: Site::new(settings, now.unsigned_abs(), now),
            peers: options.peers.iter().filter(|(number, _)| *number != me).map(peer).collect(),
            questions: HashMap::new(),
            next_question: 0,
            ticked_at: Instant::now().checked_sub(options.tick).unwrap_or_else(Instant::now),
            config_seq: None,
            window: SmolStr::default(),
            doubles: BTreeMap::new(),
            settled: VecDeque::new(),
            alarms: VecDeque::new(),
            ended: Ended::default(),
            to_give: None,
            opened: false,
            look_at_all: false,
            said: BTreeMap::new(),
        })
    }

    pub fn alarm(&mut self, what: String) {
        tracing::error!(what, "between sites");
        if self.alarms.back() == Some(&what) {
            return;
        }
        if self.alarms.len() >= ALARMS_MAX {
            self.alarms.pop_front();
        }
        self.alarms.push_back(what);
    }

    pub fn name(&self, site: u16) -> SmolStr {
        let name = self.peers.iter().find(|peer| peer.number == site).map(|peer| peer.name.clone());
        name.unwrap_or_else(|| SmolStr::from(site.to_string()))
    }

    /// Hands the rows of an account to the rules, as all streams are folded now.
    pub fn sync(&mut self, fold: &Fold, config: &Config, me: u16, account: &SmolStr) {
        let Some(terms) = config.accounts.get(account) else { return };
        self.rules.set_row(account, me, fold.book.row(account, terms.currency));
        for (number, other) in &fold.others {
            // Of a ledger that has gone beyond the range what stood before counts on.
            let row = other.book.row(account, terms.currency);
            if row.in_range() {
                self.rules.set_row(account, *number, row);
            }
        }
    }

    fn sync_all(&mut self, fold: &Fold, config: &Config, me: u16, accounts: &[SmolStr]) {
        accounts.iter().for_each(|account| self.sync(fold, config, me, account));
    }
}

impl Core<'_> {
    /// One turn for the other sites: what they wrote, what they say, what waits, what time brings. Nothing without
    /// peers.
    pub(super) fn sites_turn(&mut self) -> Result<bool, LedgerError> {
        let Some(mut sites) = self.sites.take() else { return Ok(false) };
        let turned = self.turn(&mut sites);
        self.sites = Some(sites);
        turned
    }

    fn turn(&mut self, sites: &mut Sites) -> Result<bool, LedgerError> {
        let mut busy = false;
        // First as far as our own frames name the others' streams: what was settled then is not settled twice.
        let now = wall_micros();
        sites.rules.set_frozen(self.options.standing.frozen(now));
        busy |= self.read_peers(sites)?;
        if !sites.opened {
            sites.opened = true;
            let open: Vec<Double> = sites.doubles.values().filter(|one| one.what != "call").cloned().collect();
            open.iter().for_each(|one| self.alarm_double(sites, one));
        }
        if let Some(mail) = self.options.mail.clone() {
            for peer in &sites.peers {
                if let Some(at) = mail.heard(peer.number) {
                    sites.rules.heard_at(peer.number, at.min(now));
                }
            }
            for _ in 0..MAIL_MAX {
                let Some((from, bytes)) = mail.take() else { break };
                busy = true;
                self.message(sites, from, &bytes)?;
            }
        }
        self.settings(sites)?;
        sites.rules.wait_over(now);
        if sites.ticked_at.elapsed() >= self.options.tick {
            sites.ticked_at = Instant::now();
            self.tick(sites)?;
        }
        self.follow(sites)?;
        if !self.poster.is_empty() {
            self.cut()?;
        }
        Ok(busy)
    }

    /// Folds what has been copied of the others' ledgers.
    fn read_peers(&mut self, sites: &mut Sites) -> Result<bool, LedgerError> {
        let mut busy = false;
        for at in 0..sites.peers.len() {
            let Some(mut reader) = self.reader_of(&mut sites.peers[at]) else { continue };
            let mut polled = reader.poll(Duration::ZERO, &mut |accepted| self.peer_frame(sites, at, &accepted));
            while !sites.opened && matches!(polled, Ok(folded) if folded > 0) {
                polled = reader.poll(Duration::ZERO, &mut |accepted| self.peer_frame(sites, at, &accepted));
            }
            let peer = &mut sites.peers[at];
            match polled {
                Ok(folded) => {
                    busy |= folded > 0;
                    peer.reader = Some(reader);
                    if !peer.halted {
                        peer.trouble = None;
                    }
                }
                // The copy is away or was made anew: it is read again from its start.
                Err(LedgerError::Bus(error)) => {
                    peer.trouble = Some(error.to_string());
                    self.shared().fold().others.remove(&peer.number);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(busy)
    }

    fn reader_of(&self, peer: &mut Peer) -> Option<StreamReader> {
        if peer.halted {
            return None;
        }
        if let Some(reader) = peer.reader.take() {
            return Some(reader);
        }
        if peer.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return None;
        }
        peer.looked_at = Some(Instant::now());
        let bus = &*self.options.bus;
        let opened = match bus.partitions(&peer.stream) {
            Ok(None) => {
                peer.trouble = Some(format!("{} has not been copied here yet", peer.stream));
                return None;
            }
            Ok(Some(_)) => StreamReader::open(bus, &self.options.ids, &peer.stream),
            Err(error) => Err(error),
        };
        self.shared().fold().others.insert(peer.number, Fold::new(peer.stream.clone()));
        opened.map_err(|error| peer.trouble = Some(error.to_string())).ok()
    }

    /// Folds one accepted frame of another site's ledger, and settles what it names before anything else is asked.
    fn peer_frame(&mut self, sites: &mut Sites, at: usize, accepted: &Accepted<'_>) -> Result<(), LedgerError> {
        let (number, stream) = (sites.peers[at].number, sites.peers[at].stream.clone());
        if sites.peers[at].halted {
            return Ok(());
        }
        let (seq, frame) = (accepted.frame.header.seq, accepted.frame);
        self.lost_disk(sites, number, (seq, orders_in(frame.header.epoch)));
        let config = (self.options.config)();
        let (mut named, mut foreign) = (Named::default(), None);
        {
            let mut fold = self.shared().fold();
            let Some(other) = fold.others.get_mut(&number) else { return Ok(()) };
            let folded = other.frame_with(frame, accepted.offset, |other, item| {
                named.note(&other.book, item);
                foreign = foreign.take().or_else(|| foreign_currency(item, &config));
                if let LedgerItem::Release(release) = item
                    && release.why == ReleaseWhy::Charged
                    && let Some(hold) = other.book.holds().get(release.hold_id).filter(|hold| !hold.is_attempt())
                {
                    sites.ended.note(number, hold, ENDED_MAX);
                }
            });
            let folded = folded.map_err(|error| error.to_string()).and_then(|()| named.countable(&other.book, &config));
            if let Err(error) = folded {
                // Kept where it is, for a person; whatever this site granted until then stays granted.
                let what = format!("the ledger of site {} cannot be folded: {error}", sites.name(number));
                sites.peers[at].halted = true;
                sites.peers[at].trouble = Some(what.clone());
                sites.alarm(what);
                return Ok(());
            }
        }
        tracing::trace!(%stream, seq, "folded");
        self.check_said(sites, number, seq, frame.header.booked_at.0);
        for call in std::mem::take(&mut named.calls) {
            self.settle(sites, call)?;
        }
        for entry in std::mem::take(&mut named.orders) {
            self.settle_order(sites, number, &entry)?;
        }
        if number == self.options.config_site {
            for (key, caps) in std::mem::take(&mut named.caps) {
                self.take_caps(key, &caps)?;
            }
        }
        if let Some(foreign) = foreign {
            let name = sites.name(number);
            sites.alarm(format!("site {name} books {foreign}, in frame {seq} of {stream}: its rights are as before"));
        }
        named.accounts.retain(|account| config.accounts.contains_key(account));
        let mut accounts: Vec<SmolStr> = named.accounts.into_iter().collect();
        let announced = sites.rules.announced(number).filter(|said| said.seq == seq);
        let said: Vec<SmolStr> =
            announced.map_or_else(Vec::new, |said| said.lines.iter().map(|x| x.line.clone()).collect());
        accounts.extend(sites.rules.lowering().cloned());
        {
            let fold = self.shared().fold();
            sites.sync_all(&fold, &config, self.options.number, &accounts);
            sites.sync_all(&fold, &config, self.options.number, &said);
        }
        sites.rules.folded_apart(wall_micros(), number, seq, accounts);
        self.follow(sites)?;
        let limited: Vec<SmolStr> = named.limits.into_iter().filter(|of| config.accounts.contains_key(of)).collect();
        if limited.is_empty() { Ok(()) } else { self.set_terms(sites, &config, &limited) }
    }

    fn message(&mut self, sites: &mut Sites, from: u16, bytes: &[u8]) -> Result<(), LedgerError> {
        if !sites.peers.iter().any(|peer| peer.number == from) {
            sites.alarm(format!("a message of site {from}, which is no peer of this one"));
            return Ok(());
        }
        let mut message = match mail::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                let name = sites.name(from);
                sites.alarm(format!("a message of site {name} cannot be read: {error}"));
                return Ok(());
            }
        };
        let (config, me) = ((self.options.config)(), self.options.number);
        let known = |line: &SmolStr| config.accounts.contains_key(line);
        let lines: Vec<SmolStr> = match &mut message {
            Message::Announce(announcement) => {
                if announcement.site != from {
                    let name = sites.name(from);
                    sites.alarm(format!("site {name} announces totals of site {}", announcement.site));
                    return Ok(());
                }
                if let Some(line) = announcement.out_of_range() {
                    let name = sites.name(from);
                    sites.alarm(format!(
                        "site {name} announces amounts of {line} beyond the integer range: it counts for nothing"
                    ));
                    return Ok(());
                }
                let next = sites.rules.folded(from) + 1;
                self.lost_disk(sites, from, (next, announcement.orders));
                let before = sites.said.get(&from).map_or(0, |(seq, _)| *seq);
                if announcement.seq > before {
                    sites.said.insert(from, (announcement.seq, wall_micros()));
                }
                announcement.lines.retain(|announced| known(&announced.line));
                announcement.lines.truncate(crate::sites::ACCOUNTS_MAX);
                announcement.lines.iter().map(|announced| announced.line.clone()).collect()
            }
            Message::Pull { id, line, .. } => {
                let answered = self.shared().fold().book.rights().answered(facts::ids::OriginId(id.0));
                if answered {
                    sites.rules.set_answered(*id);
                }
                if known(line) { vec![line.clone()] } else { Vec::new() }
            }
            Message::Answer { .. } => Vec::new(),
        };
        sites.sync_all(&self.shared().fold(), &config, me, &lines);
        self.told_seq(sites);
        if let Message::Pull { line, want, .. } = &message {
            // What the carrier's other accounts leave is moved here before the other site is answered.
            self.divide_for(sites, &config, line, want.0)?;
        }
        sites.rules.receive(wall_micros(), from, message);
        self.follow(sites)
    }

    /// A site's frames are booked in their order: one that was booked long after an announcement and stands before the
    /// frame that it names shows that the announcement was no truth. It counts no more.
    fn check_said(&self, sites: &mut Sites, site: u16, seq: u64, booked: i64) {
        let Some((said, at)) = sites.said.get(&site).copied().filter(|(said, _)| *said > seq) else { return };
        if booked > at.saturating_add(micros(self.options.tick).saturating_mul(LATE_TICKS)) {
            sites.said.remove(&site);
            drop(sites.rules.forget_announced(site));
            let name = sites.name(site);
            sites.alarm(format!(
                "site {name} announced its frame {said}, but its frame {seq} was booked later: what it announced counts for nothing"
            ));
        }
    }

    /// The rules number the own frames as they will stand.
    fn told_seq(&self, sites: &mut Sites) {
        sites.rules.set_folded(self.options.number, self.seq() - 1);
    }

    /// Limits and reserves as the configuration has them now.
    fn settings(&mut self, sites: &mut Sites) -> Result<(), LedgerError> {
        let config = (self.options.config)();
        if sites.config_seq == Some(config.seq) || self.copies_are_behind() {
            return Ok(());
        }
        sites.config_seq = Some(config.seq);
        if std::mem::take(&mut sites.look_at_all) {
            config.accounts.keys().for_each(|account| sites.rules.touch(account));
        }
        let accounts: Vec<SmolStr> = config.accounts.keys().cloned().collect();
        for group in accounts.chunks(64) {
            self.set_terms(sites, &config, group)?;
        }
        Ok(())
    }

    fn set_terms(&mut self, sites: &mut Sites, config: &Arc<Config>, accounts: &[SmolStr]) -> Result<(), LedgerError> {
        let (now, me) = (wall_micros(), self.options.number);
        for account in accounts {
            let limit = {
                let fold = self.shared().fold();
                sites.sync(&fold, config, me, account);
                limit_of_this_site(&fold, config, account, now)
            };
            let Some(limit) = limit else { continue };
            let own = !self.draws_on_carrier(config, account);
            if own && me == self.options.config_site && !self.copies_are_behind() {
                sites.rules.set_limit(now, account, limit);
            }
            sites.rules.set_reserve(account, self.options.reserve_of(config, account));
        }
        self.follow(sites)
    }

    /// Every few seconds: debts, reserves, limits that expire or wait; then what is announced and shown.
    fn tick(&mut self, sites: &mut Sites) -> Result<(), LedgerError> {
        let (config, me) = ((self.options.config)(), self.options.number);
        let mut lines: Vec<SmolStr> = sites.rules.watched().cloned().collect();
        lines.extend(sites.rules.lowering().cloned());
        let granted: Vec<SmolStr> = {
            let fold = self.shared().fold();
            sites.sync_all(&fold, &config, me, &lines);
            let terms = fold.book.holds().all_terms().filter(|(_, terms)| !terms.grants.is_empty());
            terms.map(|(account, _)| account.clone()).filter(|account| config.accounts.contains_key(account)).collect()
        };
        sites.rules.tick(wall_micros());
        self.follow(sites)?;
        if me == self.options.config_site {
            self.set_terms(sites, &config, &granted)?;
            self.divide_lines(sites, &config)?;
        }
        self.drain(sites, &config)?;
        if !self.poster.is_empty() {
            self.cut()?;
        }
        self.announce(sites, &config);
        self.show_sites(sites, &config);
        Ok(())
    }

    /// Writes what the rules have appended, and does what they want done once it is durable.
    pub(super) fn follow(&mut self, sites: &mut Sites) -> Result<(), LedgerError> {
        loop {
            let (memos, actions) = sites.rules.drain();
            if memos.is_empty() && actions.is_empty() {
                return Ok(());
            }
            for memo in memos {
                self.append(&memo)?;
            }
            for action in actions {
                self.act(sites, action)?;
            }
        }
    }

    fn act(&mut self, sites: &mut Sites, action: Action) -> Result<(), LedgerError> {
        match action {
            Action::Send { to, message: Message::Answer { id, .. } } => {
                let seq = if self.poster.is_empty() { self.seq() - 1 } else { self.seq() };
                self.post(to, &Message::Answer { id, seq }, seq);
            }
            // A question promises nothing: it need not wait for a frame.
            Action::Send { to, message } => {
                if let Some(mail) = &self.options.mail {
                    mail.send(to, mail::encode(&message));
                }
            }
            Action::Ready { question, failed } => self.ready(sites, question, failed)?,
            Action::Mismatch { site, seq, line } => {
                let name = sites.name(site);
                sites.alarm(format!(
                    "site {name} announced other totals of account {line} at its frame {seq} than its frames come to"
                ));
            }
            // Only the simulator's sites ask the rules themselves.
            Action::Answer(_) => {}
        }
        Ok(())
    }

    /// Sends once frame `seq` of ours is durable and accepted.
    pub(super) fn post(&mut self, to: u16, message: &Message, seq: u64) {
        if self.options.mail.is_some() {
            let answer = Answer::Mail(to, mail::encode(message));
            self.replies.push_back((self.behind(seq), answer));
        }
    }

    /// A copy is shorter than what this ledger has named of it (its disk was lost): what others have granted is not known
    /// until it is there again.
    pub(super) fn copies_are_behind(&self) -> bool {
        let fold = self.inbox.shared.fold();
        self.options.peers.iter().any(|(number, name)| {
            let named = self.writer.state().next_position(&ledger_source(name).stream).seq;
            named > 1 && fold.others.get(number).map_or(0, |other| other.offsets.len() as u64) + 1 < named
        })
    }

    /// How far the others' streams are folded, for the header of the next frame.
    pub(super) fn peers_folded(&mut self) {
        let peers = &self.options.peers;
        if peers.is_empty() {
            return;
        }
        let fold = self.inbox.shared.fold();
        for (number, other) in &fold.others {
            let Some((_, name)) = peers.iter().find(|(of, _)| of == number) else { continue };
            let (stream, seq) = (ledger_source(name).stream, other.offsets.len() as u64);
            let (from, to) = (self.writer.state().next_position(&stream), Position { seq: seq + 1, index: 0 });
            // A copy that is read again from its start is behind for a while: nothing is consumed twice.
            if seq > 0 && to > from {
                self.inputs.push(Input::Stream { stream, from, to });
            }
        }
    }
}
