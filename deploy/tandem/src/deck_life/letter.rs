//! The letter that rejects a vendor's increases on short notice: which codes, his date, the contract's date. Text for a
//! person to send; nothing is sent.

use super::weigh::price_text;
use decks::life::Rows;
use facts::Amount;
use facts::config::DeckImport;
use facts::money::Currency;
use std::fmt::Write;

/// What the letter says beside the rows.
pub struct Letter<'a> {
    pub import: &'a DeckImport,
    /// Legal name of ours.
    pub we: &'a str,
    pub notice_days: u32,
    pub currency: Currency,
    /// Expected dispute, where traffic was known.
    pub dispute: Option<Amount>,
}

/// Increases that this import claims before the contract allows them: his rows by his dates, each until the contract's.
pub fn short_notice(letter: &Letter<'_>, old: &Rows, claims: &Rows) -> String {
    let day = |at: i64| facts::time::rfc3339(at).chars().take(10).collect::<String>();
    let mut text = String::new();
    let file = std::path::Path::new(&letter.import.file)
        .file_name()
        .map_or_else(|| letter.import.file.clone(), |name| name.to_string_lossy().into_owned());
    let received = day(letter.import.at.0.min(letter.import.effective.0));
    let (days, currency) = (letter.notice_days, letter.currency);
    let _ = writeln!(text, "Subject: rate notice {file}: increases on short notice\n");
    let _ = writeln!(
        text,
        "Your notice {file}, received {received}, raises prices earlier than the {days} days of notice of our \
         agreement.\nWe do not accept the dates below. Until the date in the column \"by contract\" calls are settled \
         at the old price;\nan invoice beyond it will be disputed. Decreases are accepted as announced.\n"
    );
    let _ = writeln!(text, "code;destination;old price;new price;your date;by contract;currency");
    for claim in claims.iter() {
        let old = old.covering(claim.prefix(), claim.row.from).map(|row| price_text(&row.rate())).unwrap_or_default();
        let (from, until) = (day(claim.row.from), day(claim.row.until));
        let (code, name, price) = (claim.prefix(), claim.destination(), price_text(&claim.rate()));
        let _ = writeln!(text, "{code};{name};{old};{price};{from};{until};{currency}");
    }
    if let Some(dispute) = letter.dispute {
        let _ = writeln!(text, "\nBy our recent traffic this concerns {currency} {dispute}.");
    }
    let _ = writeln!(text, "\n{}", letter.we);
    text
}
