//! How sites come to know each other: an invitation for the new one, made at a running site; the new one's answer, which
//! each running site admits. Both are files that a person carries; neither holds a secret. It writes settings and
//! certificates, and never a log.

use crate::cli_site::{AdmitArgs, InviteArgs, JoinArgs};
use crate::node::wall_micros;
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::settings::{BusKind, Settings};
use ledger::Standing;
use ledger::standing::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// A site as others are told of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    name: String,
    number: u16,
    url: String,
    /// PEM.
    certificate: String,
}

/// What a site has to know to join.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    name: String,
    number: u16,
    url: String,
    partitions: u32,
    /// The same at all sites.
    config_site: String,
    postpaid_reserve_percent: u32,
    /// The sites had it as a peer before: its disk was lost.
    known: bool,
    #[serde(default)]
    reserves: BTreeMap<String, String>,
    sites: Vec<Told>,
}

fn file_failed(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    |error| Failure::Broken(format!("{}: {error}", path.display()))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path, what: &str) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    toml::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{} is no {what}: {}", path.display(), error.to_string().trim())))
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = toml::to_string(value).map_err(Failure::usage)?;
    std::fs::write(path, text).map_err(file_failed(path))
}

/// Makes this site's key and certificate where it has none yet, and gives the certificate.
fn certificate(settings: &Settings) -> Result<String, Failure> {
    let (path, key) = (settings.site_path(&settings.sites.certificate), settings.site_path(&settings.sites.key));
    if !path.exists() && !key.exists() {
        sites::identity::make(&settings.site, &path, &key).map_err(Failure::broken)?;
    }
    std::fs::read_to_string(&path).map_err(file_failed(&path))
}

/// Address by which peers reach the site of these settings, where it can be told from what it listens on.
fn own_url(settings: &Settings, said: Option<&str>) -> Result<String, Failure> {
    match said {
        Some(url) => Ok(url.to_owned()),
        None if settings.sites.listen.ip().is_unspecified() => Err(Failure::Usage(format!(
            "sites.listen is {}, by which nobody is reached; say --own-url https://HOST:PORT",
            settings.sites.listen
        ))),
        None => Ok(format!("https://{}", settings.sites.listen)),
    }
}

/// `tandem site invite`.
pub fn invite(settings: &Settings, args: &InviteArgs, json: bool) -> Outcome {
    sites::address(&args.url).map_err(|reason| Failure::Usage(format!("--url {:?}: {reason}", args.url)))?;
    if args.name == settings.site {
        return Err(Failure::Usage(format!("{} is this site itself; invite it at another one", args.name)));
    }
    let known = settings.peers.iter().find(|peer| peer.name == args.name);
    let highest = settings.peers.iter().map(|peer| peer.number).fold(settings.sites.number, u16::max);
    let number = known.map_or(highest.saturating_add(1), |peer| peer.number);
    let url = own_url(settings, args.own_url.as_deref())?;
    let mut sites = vec![Told {
        name: settings.site.clone(),
        number: settings.sites.number,
        url,
        certificate: certificate(settings)?,
    }];
    for peer in settings.peers.iter().filter(|peer| peer.name != args.name) {
        let path = settings.site_path(&peer.certificate);
        let certificate = std::fs::read_to_string(&path).map_err(file_failed(&path))?;
        sites.push(Told { name: peer.name.clone(), number: peer.number, url: peer.url.clone(), certificate });
    }
    let invitation = Invitation {
        name: args.name.clone(),
        number,
        url: args.url.clone(),
        partitions: partitions_held(settings, &args.name).unwrap_or(settings.partitions),
        config_site: settings.first_config_site().to_owned(),
        postpaid_reserve_percent: settings.sites.postpaid_reserve_percent,
        known: known.is_some(),
        reserves: settings.sites.reserves.clone(),
        sites,
    };
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.invitation", args.name)));
    write(&output, &invitation)?;
    if json {
        output::json(&serde_json::json!({ "invitation": output, "number": number, "known": invitation.known }))?;
    } else {
        output::line(&output.display().to_string())?;
        let lost = if invitation.known { " --lost-disk" } else { "" };
        note(&format!("at site {}, in an empty data folder: tandem site join {}{lost}", args.name, output.display()));
    }
    Ok(Ending::Good)
}

/// How many raters' streams of a site are held in this folder's log.
fn partitions_held(settings: &Settings, name: &str) -> Option<u32> {
    let begin = format!("xdrs.{name}.");
    let entries = std::fs::read_dir(settings.data.join("log")).ok()?.flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(&begin)?.parse::<u32>().ok());
    numbers.max().map(|last| last + 1)
}

/// `tandem site join`.
pub fn join(settings: &Settings, args: &JoinArgs, user: &str, json: bool) -> Outcome {
    if settings.bus.kind == BusKind::Kafka && args.lost_disk {
        let why = "on Kafka the logs are the brokers', not this disk's: restore their topics from a copy";
        return Err(Failure::Usage(why.to_owned()));
    }
    let log = settings.data.join("log");
    let standing = Standing::open(Standing::path_in(&settings.data)).map_err(Failure::broken)?;
    let waiting = matches!(standing.note().state, State::Lost { .. } | State::Joining);
    if log.exists() && !waiting {
        let why = format!("{} holds a log; a site joins with an empty data folder: move this one aside", log.display());
        return Err(Failure::Usage(why));
    }
    let (state, reason) = if args.lost_disk {
        (State::Lost { without: args.without.clone() }, "disk lost")
    } else {
        (State::Joining, "new site")
    };
    let Some(invitation) = &args.invitation else {
        if !args.lost_disk || settings.peers.is_empty() {
            let why = "say the invitation, which `tandem site invite` makes at a running site; without one only --lost-disk \
                       works, where the settings with [[peers]] were kept";
            return Err(Failure::Usage(why.to_owned()));
        }
        standing.order(state, user, reason, wall_micros()).map_err(Failure::broken)?;
        note("its streams are taken back when it starts: tandem up");
        return Ok(Ending::Good);
    };
    let invitation: Invitation = read(invitation, "invitation")?;
    if invitation.known != args.lost_disk {
        let why = if args.lost_disk {
            format!("the sites do not know {}: it is new, join without --lost-disk", invitation.name)
        } else {
            format!(
                "the sites know {} already, and hold what it wrote: a second one of that name would be another history. If \
                 its disk was lost, say --lost-disk",
                invitation.name
            )
        };
        return Err(Failure::Usage(why));
    }
    let answer = settle(settings, args, &invitation)?;
    standing.order(state, user, reason, wall_micros()).map_err(Failure::broken)?;
    let names: Vec<&str> = invitation.sites.iter().map(|site| site.name.as_str()).collect();
    if json {
        output::json(
            &serde_json::json!({ "site": invitation.name, "number": invitation.number, "answer": answer, "sites": names }),
        )?;
    } else {
        output::line(&answer.display().to_string())?;
        let replace = if args.lost_disk { " --replace" } else { "" };
        note(&format!(
            "1. at each of {}: tandem site admit {}{replace}, and start `tandem up` there again",
            names.join(", "),
            answer.display()
        ));
        note("2. then here: tandem up. It fetches what they hold first, and says when it may sell");
    }
    Ok(Ending::Good)
}

/// Writes the settings, the key and the certificates of a joining site, and its answer.
fn settle(settings: &Settings, args: &JoinArgs, invitation: &Invitation) -> Result<PathBuf, Failure> {
    let listen = match args.listen {
        Some(listen) => listen,
        None => listen_of(&invitation.url)?,
    };
    let file = settings.data.join("tandem.toml");
    if file.exists() {
        return Err(Failure::Usage(format!(
            "{} is there already; move it aside, or, where it is this site's own, join without an invitation",
            file.display()
        )));
    }
    let folder = settings.data.join("site");
    std::fs::create_dir_all(&folder).map_err(file_failed(&folder))?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "site = {:?}\npartitions = {}\n\n[sites]\nnumber = {}\nlisten = \"{listen}\"\nconfig_site = {:?}\n\
         postpaid_reserve_percent = {}\n",
        invitation.name,
        invitation.partitions,
        invitation.number,
        invitation.config_site,
        invitation.postpaid_reserve_percent
    );
    if !invitation.reserves.is_empty() {
        text.push_str("\n[sites.reserves]\n");
        for (account, amount) in &invitation.reserves {
            let _ = writeln!(text, "{account:?} = {amount:?}");
        }
    }
    for site in &invitation.sites {
        pin(&settings.data, site)?;
        text.push_str(&peer_text(site));
    }
    let checked: Settings =
        toml::from_str(&text).map_err(|error| Failure::Usage(format!("the invitation: {error}")))?;
    let checked = Settings { data: settings.data.clone(), ..checked };
    checked.check_sites().map_err(|error| Failure::Usage(format!("the invitation: {error}")))?;
    let answer = Told {
        name: invitation.name.clone(),
        number: invitation.number,
        url: invitation.url.clone(),
        certificate: certificate(&checked)?,
    };
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.site", invitation.name)));
    write(&output, &answer)?;
    // Last: a folder with settings is one that was settled.
    bus::replace_file(&file, text.as_bytes()).map_err(file_failed(&file))?;
    Ok(output)
}

fn listen_of(url: &str) -> Result<SocketAddr, Failure> {
    let (host, port) = sites::address(url).map_err(|reason| Failure::Usage(format!("{url:?}: {reason}")))?;
    let ip: IpAddr = host
        .parse()
        .map_err(|_| Failure::Usage(format!("which address of this machine is {host}? say --listen ADDRESS:{port}")))?;
    Ok(SocketAddr::new(ip, port))
}

fn pin(data: &Path, site: &Told) -> Result<(), Failure> {
    let path = data.join("site").join(format!("{}.pem", site.name));
    bus::replace_file(&path, site.certificate.as_bytes()).map_err(file_failed(&path))?;
    sites::identity::pinned(&path).map(drop).map_err(Failure::usage)
}

fn peer_text(site: &Told) -> String {
    format!(
        "\n[[peers]]\nname = {:?}\nnumber = {}\nurl = {:?}\ncertificate = \"site/{}.pem\"\n",
        site.name, site.number, site.url, site.name
    )
}

/// `tandem site admit`.
pub fn admit(settings: &Settings, file: Option<&Path>, args: &AdmitArgs, json: bool) -> Outcome {
    let told: Told = read(&args.answer, "answer of a site that joins")?;
    let file = file.map_or_else(|| settings.data.join("tandem.toml"), Path::to_path_buf);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(file_failed(&file)(error)),
    };
    std::fs::create_dir_all(settings.data.join("site")).map_err(file_failed(&settings.data))?;
    let what = match settings.peers.iter().find(|peer| peer.name == told.name) {
        Some(peer) => replace(settings, peer, &told, args.replace)?,
        None => {
            let highest = settings.peers.iter().map(|peer| peer.number).fold(settings.sites.number, u16::max);
            if told.number <= highest {
                return Err(Failure::Usage(format!(
                    "site {} has number {}, which is not above {highest}; invite it again, from a site that knows all others",
                    told.name, told.number
                )));
            }
            let mut text = text;
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&peer_text(&told));
            let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", file.display()));
            let checked: Settings = toml::from_str(&text).map_err(|error| wrong(&error))?;
            Settings { data: settings.data.clone(), ..checked }.check_sites().map_err(|error| wrong(&error))?;
            pin(&settings.data, &told)?;
            bus::replace_file(&file, text.as_bytes()).map_err(file_failed(&file))?;
            "admitted"
        }
    };
    // Without one it could not be reached by the site that it admits.
    certificate(settings)?;
    if json {
        output::json(&serde_json::json!({ "site": told.name, "number": told.number, "what": what, "settings": file }))?;
    } else {
        output::line(&format!("site {} (number {}): {what}", told.name, told.number))?;
        note("the process of this site reads its settings when it starts: stop `tandem up` and start it again");
    }
    Ok(Ending::Good)
}

fn replace(
    settings: &Settings,
    peer: &crate::site_settings::PeerSettings,
    told: &Told,
    replace: bool,
) -> Result<&'static str, Failure> {
    if (peer.number, &peer.url) != (told.number, &told.url) {
        return Err(Failure::Usage(format!(
            "site {} is a peer already, with number {} at {}; the answer says {} at {}: change the settings by hand",
            told.name, peer.number, peer.url, told.number, told.url
        )));
    }
    let path = settings.site_path(&peer.certificate);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    if before.trim() == told.certificate.trim() {
        return Ok("was admitted before");
    }
    if !replace {
        return Err(Failure::Usage(format!(
            "site {} is a peer already, with another certificate. If it lost its disk, and its key with it: --replace",
            told.name
        )));
    }
    let new = path.with_extension("new");
    bus::replace_file(&new, told.certificate.as_bytes()).map_err(file_failed(&new))?;
    sites::identity::pinned(&new).map_err(Failure::usage)?;
    std::fs::rename(&new, &path).map_err(file_failed(&path))?;
    Ok("its certificate was replaced")
}
