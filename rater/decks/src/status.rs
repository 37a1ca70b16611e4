//! Words by which carriers say that a code is open, blocked or closed, in seven languages. Never looks at a price.

use crate::lexicon::words_of;
use crate::options::ReadOptions;
use facts::deck::RowStatus;

/// Words after `lexicon::words_of`, so in small letters and without marks.
#[rustfmt::skip]
const BLOCKED: &[&str] = &[
    "blocked", "block", "blocking", "forbidden", "barred", "barring", "reject", "rejected", "gesperrt", "sperrung", "sperre",
    "verboten", "bloque", "bloquee", "interdit", "interdite", "bloqueado", "bloqueada", "prohibido", "bloccato", "bloccata",
    "vietato", "bloqueio", "заблокировано", "заблокирован", "заблокирована", "запрещено", "запрещен", "запрет", "блокировка",
];
#[rustfmt::skip]
const CLOSED: &[&str] = &[
    "discontinued", "discontinue", "closed", "close", "closure", "deleted", "delete", "deletion", "removed", "remove",
    "withdrawn", "inactive", "cancelled", "canceled", "ceased", "terminated", "eingestellt", "geschlossen", "geloscht",
    "entfernt", "beendet", "ferme", "fermee", "fermeture", "supprime", "supprimee", "cerrado", "cerrada", "eliminado",
    "eliminada", "suprimido", "chiuso", "chiusa", "eliminato", "eliminata", "cessato", "encerrado", "fechado", "removido",
    "закрыто", "закрыт", "закрыта", "удалено", "удален", "удалена", "исключено",
];
#[rustfmt::skip]
const OPEN: &[&str] = &[
    "current", "open", "active", "new", "valid", "0", "increase", "decrease", "unchanged", "change", "same", "pending",
    "added", "aktiv", "offen", "gultig", "neu", "actif", "ouvert", "nouveau", "activo", "abierto", "nuevo", "attivo", "aperto",
    "nuovo", "ativo", "aberto", "novo", "открыто", "открыт", "активно", "активен", "действует", "новый", "ok", "enabled",
];
/// Beside one of the words above these change nothing.
const FILL: &[&str] = &["code", "codes", "destination", "no", "rate", "price", "is", "on", "route", "breakout", "the"];
/// A longer text is a remark.
const WORDS_MAX: usize = 4;

/// What a text says about its row; `None` where it says nothing that is known.
pub fn said(text: &str, template: &ReadOptions) -> Option<RowStatus> {
    if let Some(status) = template.status_words.get(text.to_lowercase().as_str()) {
        return Some(*status);
    }
    let words = words_of(text);
    if words.is_empty() || words.len() > WORDS_MAX {
        return None;
    }
    let status = |word: &str| match word {
        _ if BLOCKED.contains(&word) => Some(RowStatus::Blocked),
        _ if CLOSED.contains(&word) => Some(RowStatus::Discontinued),
        _ if OPEN.contains(&word) => Some(RowStatus::Open),
        _ => None,
    };
    let mut found = None;
    for word in &words {
        match (status(word), found) {
            (Some(status), None) => found = Some(status),
            (Some(status), Some(known)) if status != known => return None,
            (None, _) if !FILL.contains(&word.as_str()) => return None,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_code_is_blocked_in_the_carriers_own_language() {
        let mut template = ReadOptions::default();
        template.status_words.insert("nda".into(), RowStatus::Blocked);
        for (text, status) in [
            ("Blocked", Some(RowStatus::Blocked)),
            ("Gesperrt", Some(RowStatus::Blocked)),
            ("Bloqué", Some(RowStatus::Blocked)),
            ("заблокировано", Some(RowStatus::Blocked)),
            ("NDA", Some(RowStatus::Blocked)),
            ("Code deleted", Some(RowStatus::Discontinued)),
            ("Geschlossen", Some(RowStatus::Discontinued)),
            ("закрыто", Some(RowStatus::Discontinued)),
            ("No Change", Some(RowStatus::Open)),
            ("Current", Some(RowStatus::Open)),
            ("Open Blocked", None),
            ("maybe", None),
            ("", None),
        ] {
            assert_eq!(said(text, &template), status, "{text}");
        }
    }
}
