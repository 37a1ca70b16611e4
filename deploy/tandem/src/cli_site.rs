//! `tandem site ...`: its commands.

use clap::{Args, Subcommand};
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
