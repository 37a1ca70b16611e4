//! The reports: what was asked, how it is counted, and the answer as exact values. Definitions (also shown to users):
//! customer, destination and hour count a call once, with its final result; vendor counts every attempt.
//! ASR = answered / attempts. NER = (answered + unanswered with a code of the list) / attempts. ACD = talk time /
//! answered, talk time being the side's own duration before rounding. PDD = mean from INVITE to the first 18x or 200,
//! over those that had one. Money is never added over currencies: a key has one line per currency, and a call is
//! counted in the line of its sell currency (vendor: buy currency).

mod figures;
mod live;
mod query;
mod search;
mod table;
mod totals;

pub use figures::{Figures, Line};
pub use live::{LiveMinute, live};
pub use query::{Filter, Report, ReportName, Source, export, report, sql};
pub use search::{CallRow, Search, search, table as calls_table};
pub use table::{Column, Kind, Table};
pub use totals::{Cut, RollupCheck, SideTotal, SuspenseRow, Totals, check_rollups, suspense, totals};
