//! From a file's tables to rows: which sheets hold rates, what their notices and columns say together, then every
//! row in order. Never opens a file.

use crate::header::{self, Layout, Search, Sheet};
use crate::options::ReadOptions;
use crate::origin::Origins;
use crate::prose::Said;
use crate::survey::Survey;
use crate::{DeckError, Found, Item, Notice, Rows, Totals, notice, prose, row};
use facts::Currency;
use smol_str::SmolStr;

/// What was found out before the first row is read.
pub struct Known {
    pub currency: Option<Currency>,
    pub said: Said,
}

/// Reads all sheets of rates.
pub fn read(
    file: &str,
    rows: &mut dyn Rows,
    mut found: Found,
    template: &ReadOptions,
    sink: &mut dyn FnMut(Item),
) -> Result<(Found, Totals), DeckError> {
    let Chosen { mut layouts, covers, others } = choose(file, rows, template)?;
    let priced_in = layouts.iter().any(|layout| layout.currency.or(layout.notice.currency).is_some());
    for cover in &covers {
        // What the sheets of rates say themselves stands above a cover, or above terms that mention a currency.
        let currency = cover.currency.filter(|_| !priced_in && template.currency.is_none());
        layouts.iter_mut().for_each(|layout| layout.notice.adopt(cover, currency));
    }
    let texts: Vec<String> = covers.iter().flat_map(Notice::texts).collect();
    let mut survey = Survey::default();
    // Where the rates of each sheet end, for a table of origins stands below them.
    let mut below = Vec::with_capacity(layouts.len());
    for layout in &layouts {
        layout.notice.dates().for_each(|text| survey.date(&text, || "in the notice".to_owned()));
        below.push(survey.sheet(file, rows, layout, template)?);
    }
    let order = survey.order(file, template)?;
    layouts.iter_mut().for_each(|layout| notice::resolve(&mut layout.notice, order));
    let mut said = increments(file, &layouts, texts.iter().chain(&survey.lines), template)?;
    name_check(file, rows, &layouts, &mut said, template)?;
    let known = Known { currency: currency(file, &layouts, template)?, said };
    let names: Vec<&str> = layouts.iter().map(|layout| layout.sheet.as_str()).collect();
    let Some(first) = layouts.first() else { return Err(no_header(file, &[])) };
    found.sheet = names.join(", ").into();
    found.header_row = first.header_row;
    found.columns = first.columns.iter().map(|(_, field, name)| (*field, name.clone())).collect();
    found.ignored = first.ignored.clone();
    found.notice = first.notice.clone();
    found.date_order = order;
    let mut origins = Origins::default();
    for sheet in &others {
        origins.sheet(rows, (sheet, 0), known.currency, template)?;
    }
    for (layout, from) in layouts.iter().zip(&below) {
        if let Some(from) = from {
            origins.sheet(rows, (&layout.sheet, *from), known.currency, template)?;
        }
    }
    let mut reader = row::Reader::new(file, first, &known, order, template)?;
    if !origins.is_empty() {
        reader.keep_destinations();
    }
    for (layout, below) in layouts.iter().zip(&below) {
        reader.enter(layout);
        rows.walk(&layout.sheet, &mut |number, cells| {
            if below.is_some_and(|below| number >= below) {
                return Ok(false);
            }
            if number > layout.header_row {
                reader.row(number, cells, sink)?;
            }
            Ok(true)
        })?;
    }
    if !origins.is_empty() {
        let mut items = Vec::new();
        found.origin_groups = origins.finish(reader.kept(), &mut |item| items.push(item));
        items.into_iter().for_each(|item| reader.beside(item, sink));
    }
    let totals = reader.finish(&mut found);
    Ok((found, totals))
}

/// The sheets of a file by what they hold.
struct Chosen {
    layouts: Vec<Layout>,
    /// What the sheets without rates say, and their names.
    covers: Vec<Notice>,
    others: Vec<SmolStr>,
}

fn choose(file: &str, rows: &mut dyn Rows, template: &ReadOptions) -> Result<Chosen, DeckError> {
    let sheets = rows.sheets();
    if let Some(wanted) = template.sheets.iter().find(|wanted| !sheets.contains(*wanted)) {
        let sheet = wanted.to_string();
        return Err(DeckError::NoSheet { file: file.to_owned(), sheet, sheets: sheets.join(", ") });
    }
    let (mut layouts, mut seen, mut covers, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for sheet in &sheets {
        let mut search = Search::new(file, sheet, template);
        rows.walk(sheet, &mut |number, cells| search.row(number, cells))?;
        seen.extend(search.nearest());
        let wanted = template.sheets.is_empty() || template.sheets.contains(sheet);
        if search.is_found() && !wanted {
            continue;
        }
        match search.end()? {
            Sheet::Rates(layout) => layouts.push(layout),
            Sheet::Text(notice) => {
                covers.push(notice);
                others.push(sheet.clone());
            }
        }
    }
    let several = layouts.len() > 1 && template.sheets.is_empty() && !template.all_sheets;
    if several {
        let sheets: Vec<_> = layouts.iter().map(|layout| layout.sheet.as_str()).collect();
        return Err(DeckError::SeveralSheets { file: file.to_owned(), sheets: sheets.join(", ") });
    }
    if layouts.is_empty() { Err(no_header(file, &seen)) } else { Ok(Chosen { layouts, covers, others }) }
}

fn no_header(file: &str, seen: &[String]) -> DeckError {
    DeckError::NoHeader {
        file: file.to_owned(),
        looked: header::SEARCH_ROWS,
        seen: if seen.is_empty() { "nothing but empty cells".to_owned() } else { seen.join(" | ") },
    }
}

/// What the sentences of notices, terms and remarks say about increments, and whether that is understood.
fn increments<'t>(
    file: &str,
    layouts: &[Layout],
    texts: impl Iterator<Item = &'t String>,
    template: &ReadOptions,
) -> Result<Said, DeckError> {
    let mut said = Said::default();
    for layout in layouts {
        layout.notice.texts().iter().for_each(|line| prose::read(&mut said, line));
    }
    texts.for_each(|line| prose::read(&mut said, line));
    let needed = layouts.iter().any(|layout| !layout.has_increments());
    if let Some(name) = said.forgotten().filter(|_| said.unclear.is_none()) {
        said.unclear = Some(format!("{} (nothing for {name})", said.texts.join(" | ")));
    }
    match (&said.unclear, template.increment, said.all) {
        (Some(text), None, _) if needed => Err(DeckError::Increments { file: file.to_owned(), text: text.clone() }),
        (None, Some((a, b)), Some((c, d))) if template.notice_must_agree && (a, b) != (c, d) && needed => {
            let (first, second) = (format!("{a}/{b}"), format!("{c}/{d}"));
            Err(DeckError::IncrementsDiffer { file: file.to_owned(), first, second })
        }
        _ => Ok(said),
    }
}

/// Names in sentences about increments are destinations of the deck, or countries that it happens not to have.
fn name_check(
    file: &str,
    rows: &mut dyn Rows,
    layouts: &[Layout],
    said: &mut Said,
    template: &ReadOptions,
) -> Result<(), DeckError> {
    let needed = layouts.iter().any(|layout| !layout.has_increments());
    if !needed || said.except.is_empty() || !template.increments.is_empty() {
        return Ok(());
    }
    match prose::check(said, rows, layouts)? {
        None => Ok(()),
        Some(name) => {
            let text = said.texts.iter().find(|text| text.contains(name.as_str())).cloned().unwrap_or_default();
            Err(DeckError::IncrementName { file: file.to_owned(), name: name.into(), text })
        }
    }
}

/// The one currency that everything which names one agrees on.
fn currency(file: &str, layouts: &[Layout], template: &ReadOptions) -> Result<Option<Currency>, DeckError> {
    let mut said = vec![(template.currency, "template")];
    for layout in layouts {
        said.push((layout.notice.currency, "notice above the header"));
        said.push((layout.currency, "price column's header"));
    }
    let mut known: Option<(Currency, &'static str)> = None;
    for (currency, from) in said {
        match (known, currency) {
            (Some((first, first_from)), Some(second)) if first != second => {
                let file = file.to_owned();
                return Err(DeckError::Currency { file, first, first_from, second, second_from: from });
            }
            (None, Some(currency)) => known = Some((currency, from)),
            _ => {}
        }
    }
    Ok(known.map(|(currency, _)| currency))
}
