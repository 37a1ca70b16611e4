//! `tandem site ...`: its commands.

use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// How this site stands with its peers: heard of, streams held, what is behind, what is wrong
    Status,
    /// Rights of an account by site: what each may spend, its reserve, its debt, what is announced and not yet held here
    Rights {
        /// Only this account
        account: Option<String>,
    },
    /// Give rights of an account from this site to another: what this one may spend goes down, the other's up
    Give(GiveArgs),
    /// Move the writing of the configuration to this site, for good: a person's order, at the site that takes it over
    ConfigSite {
        /// Name of this site, to be sure
        name: String,
        /// Who orders it (default: the user of this machine)
        #[arg(long)]
        by: Option<String>,
    },
    /// Make this site's key and certificate; its peers need the certificate
    Certificate(CertificateArgs),
    /// At a running site: write an invitation for a new site, or for one that lost its disk
    Invite(InviteArgs),
    /// In an empty data folder: become a new site by an invitation, or come back after a lost disk. `tandem up` fetches
    /// what the others hold first
    Join(JoinArgs),
    /// At each running site: take the answer of a site that joins, so that it is a peer from the next start on
    Admit(AdmitArgs),
    /// Before maintenance: take no new calls, let open ones end, give all rights away, wait until the peers hold
    /// everything; then this site may be stopped
    Drain(DrainArgs),
    /// After a fork of the configuration, with `tandem up` stopped: drop what this site wrote alone, and take the common
    /// configuration. What was dropped is shown and kept
    RejoinConfig(RejoinArgs),
    /// Where the copy of another site's streams is damaged or gone, with `tandem up` stopped: set it aside, so that it is
    /// fetched again from that site
    Refetch(RefetchArgs),
    /// Which fold version is in force and which every site's program knows; with VERSION: go on by that one at all sites
    Fold(FoldArgs),
}

#[derive(Debug, Args)]
pub struct InviteArgs {
    /// Name of the site that joins: letters, digits, - and _
    pub name: String,
    /// Address by which the sites will reach it: https://HOST:PORT
    #[arg(long)]
    pub url: String,
    /// Address by which it will reach this site (default: sites.listen)
    #[arg(long)]
    pub own_url: Option<String>,
    /// File of the invitation (default: NAME.invitation)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct JoinArgs {
    /// File of the invitation; may be left out with --lost-disk where the settings were kept
    pub invitation: Option<PathBuf>,
    /// Where the peers reach this site (default: the address of the invitation)
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<SocketAddr>,
    /// This site's disk was lost: take its own streams back from the peers, all of which are waited for
    #[arg(long)]
    pub lost_disk: bool,
    /// Do not wait for this peer, which is lost for good: what it alone held of this site's streams is lost
    #[arg(long, value_name = "SITE", requires = "lost_disk")]
    pub without: Vec<String>,
    /// File of the answer, for the other sites (default: NAME.site)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct AdmitArgs {
    /// The answer that `tandem site join` wrote
    pub answer: PathBuf,
    /// It is a peer already and has lost its key with its disk: take its new certificate
    #[arg(long)]
    pub replace: bool,
}

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Why; stands in the ledger beside the rights that are given away
    #[arg(long, required_unless_present = "undo", default_value = "")]
    pub reason: String,
    /// Who orders it (default: the user of this machine)
    #[arg(long)]
    pub by: Option<String>,
    /// Take new calls again; also ends the waiting after a lost disk, at your word
    #[arg(long)]
    pub undo: bool,
    /// Order it and say how far it is, without waiting for the end
    #[arg(long, conflicts_with = "undo")]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct RejoinArgs {
    /// The site at which the configuration is written now
    #[arg(value_name = "SITE")]
    pub from: String,
    /// Do it; without, what would be dropped is shown, and asked for on a terminal
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct RefetchArgs {
    /// The site whose streams are fetched again
    #[arg(value_name = "SITE")]
    pub from: String,
}

#[derive(Debug, Clone, Args)]
pub struct FoldArgs {
    /// Version to go on by; refused while a site runs a program that does not know it
    #[arg(value_name = "VERSION")]
    pub to: Option<u32>,
    /// Seconds until then, for the configuration to reach every site
    #[arg(long = "in", value_name = "SECONDS", default_value_t = 30)]
    pub seconds: u32,
    /// Who orders it (default: the user of this machine)
    #[arg(long)]
    pub by: Option<String>,
}

#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// Write the certificate here as well, to be handed to the peers
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct GiveArgs {
    pub account: String,
    /// In the account's currency
    pub amount: String,
    /// Name of the site that gets them
    #[arg(long, value_name = "SITE")]
    pub to: String,
    /// The order's own id; the same id again gives nothing again
    #[arg(long)]
    pub id: String,
    #[arg(long, default_value = "operator")]
    pub by: String,
    #[arg(long)]
    pub reason: String,
}
