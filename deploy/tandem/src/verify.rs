//! `tandem ledger verify`: the proof of this site's ledger, and of every other site's by its copies held here. Proves
//! nothing itself (that is `ledger::verify`); says what was found, a paragraph a site.

use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use crate::peers::sums;
use ledger::Report;

/// Proves the books of one site, or of all held here.
pub fn verify(node: &Node, site: Option<&str>) -> Result<Answer, Failure> {
    let (own, mut reports, mut notes, mut broken) = (node.settings.site.as_str(), Vec::new(), Vec::new(), Vec::new());
    for name in sums::sites(node, site)? {
        let report = if name == own { own_books(node, &mut notes)? } else { copied_books(node, name)? };
        said(&report, &mut notes);
        if !report.ok {
            broken.push(name);
        }
        let mut json = serde_json::to_value(&report).map_err(Failure::broken)?;
        json["site"] = name.into();
        reports.push(json);
    }
    notes.push(match (broken.is_empty(), reports.len()) {
        (true, _) => "verified: nothing is broken".to_owned(),
        (false, 1) => "NOT verified".to_owned(),
        (false, _) => format!("NOT verified: site {}", broken.join(", ")),
    });
    Ok(Answer { json: Some(reports.into()), notes, differs: !broken.is_empty(), ..Answer::default() })
}

fn own_books(node: &Node, notes: &mut Vec<String>) -> Result<Report, Failure> {
    let kept = crate::prove::prover(node).kept().map_err(Failure::broken)?;
    let report = ledger::verify_with(&node.bus, &node.ids, &node.settings.site, &kept, &mut |_, _| ());
    if !kept.certificates.is_empty() {
        notes.push(format!("{} signed certificates compared", kept.certificates.len()));
    }
    report.map_err(Failure::broken)
}

fn copied_books(node: &Node, site: &str) -> Result<Report, Failure> {
    ledger::verify_copy(&node.bus, &node.ids, site, &mut |_, _| ()).map_err(Failure::broken)
}

fn said(report: &Report, notes: &mut Vec<String>) {
    notes.push(format!(
        "{} {} frames, {} entries, root {}",
        report.ledger.stream, report.ledger.frames, report.entries, report.root
    ));
    notes.push(format!(
        "{} calls with {} priced sides compared with their entries, {} of amount zero, {} certificates",
        report.calls, report.xdrs_compared, report.zero, report.certificates
    ));
    for broken in &report.breaks {
        let place = broken.index.map_or_else(String::new, |index| format!(" item {index}"));
        let file = broken.file.as_ref().map_or_else(String::new, |file| format!(" ({file})"));
        notes.push(format!("broken: {} frame {}{place}{file}: {}", broken.stream, broken.seq, broken.detail));
    }
    if let Some(behind) = &report.behind {
        notes.push(format!("{}: proved up to frame {}; {behind}", report.ledger.stream, report.ledger.seq));
    }
}
