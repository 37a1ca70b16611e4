//! `tandem ledger ...`: its commands and what each asks of the process that runs the ledger.

use crate::money::{MoneyOp, PaymentText};
use crate::ops::Op;
use crate::output::Failure;
use crate::prove::ProofOp;
use clap::{Args, Subcommand};
use facts::Side;
use ledger::api::{CapsOrder, ScopeCapsOrder};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LedgerArgs {
    #[command(subcommand)]
    pub command: Option<LedgerCommand>,
}

#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Balances: owed, provisional, credit limit, held for calls, available
    Balance {
        /// Only this account
        account: Option<String>,
        /// What it owed by all that was booked up to then (a day or an instant); needs an account
        #[arg(long, value_name = "TIME", requires = "account", conflicts_with = "occurred")]
        booked: Option<String>,
        /// What it owed by all that had occurred up to then, whenever it was booked; needs an account
        #[arg(long, value_name = "TIME", requires = "account")]
        occurred: Option<String>,
        /// Only what this site booked (default: the sum over all sites held here)
        #[arg(long = "of-site", value_name = "NAME")]
        of_site: Option<String>,
    },
    /// Entries of an account, newest last
    Entries {
        account: String,
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// Only what this site booked (default: the sum over all sites held here)
        #[arg(long = "of-site", value_name = "NAME")]
        of_site: Option<String>,
    },
    /// Entries of an account with the running balance, of all sites in the order of booking, newest last
    Statement {
        account: String,
        /// N entries (at most 10000): the newest, or those next to the place asked for
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// Those booked before then: a time, or a place that an answer showed
        #[arg(long, default_value = "", value_name = "TIME|PLACE", conflicts_with = "after")]
        before: String,
        /// Those booked from then on, or behind a place
        #[arg(long, default_value = "", value_name = "TIME|PLACE")]
        after: String,
        /// Only what this site booked (default: all sites held here)
        #[arg(long = "of-site", value_name = "NAME")]
        of_site: Option<String>,
    },
    /// Sums per account of the chart and currency; the total of each currency is zero
    TrialBalance {
        /// Only what this site booked (default: the sum over all sites held here)
        #[arg(long = "of-site", value_name = "NAME")]
        of_site: Option<String>,
    },
    /// Book a payment (same id again: no effect)
    Pay(MoneyArgs),
    /// Book a refund: money that went back
    Refund(MoneyArgs),
    /// Book a correction: what is owed more, or less if negative
    Correct {
        #[command(flatten)]
        money: MoneyArgs,
        /// Origin id of the entry that is corrected
        #[arg(long, value_name = "ORIGIN")]
        adjusts: Option<String>,
        /// Revenue or cost of this product
        #[arg(long, default_value = "")]
        product: String,
        /// Revenue or cost of this destination
        #[arg(long, default_value = "")]
        destination: String,
    },
    /// Redeem a voucher: a payment whose id is the code, so a code serves once, whoever brings it
    Voucher {
        account: String,
        /// What it is worth, in the account's currency
        #[arg(allow_hyphen_values = true)]
        amount: String,
        #[arg(long)]
        code: String,
        #[arg(long, default_value = "operator")]
        by: String,
    },
    /// Undo a payment, refund or correction, line by line
    Reverse {
        /// Origin id, as `pay` printed it and `entries --json` shows it
        origin: String,
        #[arg(long, default_value = "operator")]
        by: String,
        #[arg(long)]
        reason: String,
    },
    /// More credit beside the configured limit, or less (minus), for a time or for good
    Limit {
        account: String,
        #[arg(allow_hyphen_values = true)]
        amount: String,
        /// The order's own id; the same id again grants nothing again
        #[arg(long)]
        id: String,
        /// A day or an instant at which it ends by itself
        #[arg(long, default_value = "", value_name = "TIME")]
        until: String,
        #[arg(long, default_value = "operator")]
        by: String,
        /// Who approved it; needed for more credit
        #[arg(long, default_value = "", value_name = "NAME")]
        approved_by: String,
        #[arg(long)]
        reason: String,
    },
    /// What an account may do beside its credit; whatever is not named is not limited any more
    Caps(CapsArgs),
    /// Grants and caps
    Limits { account: Option<String> },
    /// Open holds: money set aside for calls that may be going on
    Holds { account: Option<String> },
    /// What the exposure of each account consists of; with one line for a carrier its net position
    Exposure {
        /// Only this carrier's accounts
        carrier: Option<String>,
    },
    /// What was told on the topic notices.SITE, newest last: low balances, high spend, calls beyond their hold, vendors
    /// that run dry
    Notices {
        account: Option<String>,
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
    /// Prove chain, sums, roots and the tie to the rated calls, of every site held here; say where it breaks
    Verify {
        /// Only the ledger of this site
        #[arg(long = "of-site", value_name = "NAME")]
        of_site: Option<String>,
    },
    /// Sign the ledger as it is now, for auditors: chain, roots, sums; JSON (docs/reference/proof.md)
    Certificate,
    /// Proof that one priced side is in the ledger, for its customer to check with tandem-verify; shows nobody else's
    Prove {
        /// As `ledger entries --json` and the call's page show it
        xdr: String,
        /// Its call: spares reading the log
        #[arg(long, value_name = "CALL_ID")]
        call: Option<String>,
        /// Also where the call was booked to another account before, which the proof then shows
        #[arg(long)]
        with_others: bool,
    },
    /// The public key that certificates are checked with; hand it to customers
    Key,
}

#[derive(Debug, Args)]
pub struct MoneyArgs {
    account: String,
    /// In the account's currency
    #[arg(allow_hyphen_values = true)]
    amount: String,
    /// Its own id, e.g. the bank's reference
    #[arg(long)]
    id: String,
    #[arg(long, default_value = "operator")]
    by: String,
    #[arg(long)]
    reason: String,
    /// The account as our vendor instead of as our customer
    #[arg(long)]
    vendor: bool,
    /// When the money moved (default: now)
    #[arg(long, default_value = "", value_name = "RFC3339")]
    occurred_at: String,
}

#[derive(Debug, Args)]
pub struct CapsArgs {
    account: String,
    /// The order's own id
    #[arg(long)]
    id: String,
    /// Only calls of this trunk of the account
    #[arg(long, conflicts_with_all = ["group", "highest_rate", "barred", "calls_without_extend", "low_balance", "high_spend"])]
    trunk: Option<String>,
    /// Only calls to these codes, under a name for them
    #[arg(long, value_name = "NAME", requires = "codes", conflicts_with_all = ["highest_rate", "barred", "calls_without_extend", "low_balance", "high_spend"])]
    group: Option<String>,
    /// A dial code of the group (repeatable)
    #[arg(long = "code", value_name = "PREFIX", requires = "group")]
    codes: Vec<String>,
    /// Calls at once
    #[arg(long, value_name = "N")]
    calls: Option<u32>,
    /// New calls in one second
    #[arg(long, value_name = "N")]
    calls_per_second: Option<u32>,
    /// Charges of a day (UTC) and open holds
    #[arg(long, value_name = "AMOUNT")]
    daily_spend: Option<String>,
    /// Dearest rate a minute
    #[arg(long, value_name = "AMOUNT")]
    highest_rate: Option<String>,
    /// A dial code that is refused (repeatable)
    #[arg(long = "bar", value_name = "PREFIX")]
    barred: Vec<String>,
    /// Calls that share what is available where a switch cannot extend
    #[arg(long, value_name = "N")]
    calls_without_extend: Option<u32>,
    /// A notice on the topic notices.SITE when less than this is available
    #[arg(long, value_name = "AMOUNT")]
    low_balance: Option<String>,
    /// A notice when the charges of a day (UTC) pass this
    #[arg(long, value_name = "AMOUNT")]
    high_spend: Option<String>,
    #[arg(long, default_value = "operator")]
    by: String,
    #[arg(long)]
    reason: String,
}

/// The request of a command; wrong usage where an argument cannot be read.
pub fn op(command: &LedgerCommand) -> Result<Op, Failure> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Ok(Op::Money(match command {
        LedgerCommand::Balance { account: Some(account), booked, occurred, of_site }
            if booked.is_some() || occurred.is_some() =>
        {
            let (account, site) = (account.clone(), of_site.clone());
            MoneyOp::AsOf { account, booked: text(booked), occurred: text(occurred), site }
        }
        LedgerCommand::Balance { account, of_site, .. } => {
            return Ok(Op::Balances { account: account.clone(), site: of_site.clone() });
        }
        LedgerCommand::Entries { account, limit, of_site } => {
            return Ok(Op::Entries { account: account.clone(), limit: *limit, site: of_site.clone() });
        }
        LedgerCommand::TrialBalance { of_site } => return Ok(Op::TrialBalance { site: of_site.clone() }),
        LedgerCommand::Verify { of_site } => return Ok(Op::Verify { site: of_site.clone() }),
        LedgerCommand::Certificate => return Ok(Op::Proof(ProofOp::Certificate)),
        LedgerCommand::Prove { xdr, call, with_others } => {
            return Ok(Op::Proof(ProofOp::Prove { xdr: xdr.clone(), call: call.clone(), with_others: *with_others }));
        }
        LedgerCommand::Key => return Ok(Op::Proof(ProofOp::Key)),
        LedgerCommand::Statement { account, limit, before, after, of_site } => MoneyOp::Statement {
            account: account.clone(),
            limit: *limit,
            before: before.clone(),
            after: after.clone(),
            site: of_site.clone(),
        },
        LedgerCommand::Pay(money) => MoneyOp::Book(payment("payment", money)),
        LedgerCommand::Refund(money) => MoneyOp::Book(payment("refund", money)),
        LedgerCommand::Correct { money, adjusts, product, destination } => {
            let adjusts = adjusts.as_ref().map(|origin| {
                let read = facts::ids::OriginId::parse(origin);
                read.ok_or_else(|| Failure::Usage(format!("{origin:?} is no origin id (32 hexadecimal digits)")))
            });
            MoneyOp::Book(PaymentText {
                adjusts: adjusts.transpose()?,
                product: product.into(),
                destination: destination.into(),
                ..payment("correction", money)
            })
        }
        LedgerCommand::Voucher { account, amount, code, by } => MoneyOp::Book(PaymentText {
            id: code.into(),
            kind: "voucher".into(),
            account: account.into(),
            amount: amount.into(),
            by: by.into(),
            ..PaymentText::default()
        }),
        LedgerCommand::Reverse { origin, by, reason } => {
            MoneyOp::Reverse { origin: origin.clone(), by: by.clone(), reason: reason.clone() }
        }
        LedgerCommand::Limit { account, amount, id, until, by, approved_by, reason } => MoneyOp::Grant {
            id: id.clone(),
            account: account.clone(),
            amount: amount.clone(),
            until: until.clone(),
            by: by.clone(),
            approved_by: approved_by.clone(),
            reason: reason.clone(),
        },
        LedgerCommand::Caps(args) if args.trunk.is_some() || args.group.is_some() => {
            MoneyOp::ScopeCaps(scope_caps(args)?)
        }
        LedgerCommand::Caps(args) => MoneyOp::Caps(caps(args)?),
        LedgerCommand::Limits { account } => MoneyOp::Limits { account: account.clone() },
        LedgerCommand::Exposure { carrier } => MoneyOp::Exposure { carrier: carrier.clone() },
        LedgerCommand::Notices { account, limit } => MoneyOp::Notices { account: account.clone(), limit: *limit },
        LedgerCommand::Holds { account } => MoneyOp::Holds { account: account.clone() },
    }))
}

fn payment(kind: &str, money: &MoneyArgs) -> PaymentText {
    PaymentText {
        id: money.id.as_str().into(),
        kind: kind.into(),
        account: money.account.as_str().into(),
        side: if money.vendor { Side::Buy } else { Side::Sell },
        amount: money.amount.as_str().into(),
        occurred_at: money.occurred_at.clone(),
        by: money.by.as_str().into(),
        reason: money.reason.as_str().into(),
        ..PaymentText::default()
    }
}

fn scope_caps(args: &CapsArgs) -> Result<ScopeCapsOrder, Failure> {
    let codes = args.codes.iter().map(|code| code.parse().map_err(Failure::usage));
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    Ok(ScopeCapsOrder {
        id: args.id.as_str().into(),
        account: args.account.as_str().into(),
        trunk: text(&args.trunk),
        group: text(&args.group),
        codes: codes.collect::<Result<_, _>>()?,
        calls: args.calls,
        calls_per_second: args.calls_per_second,
        daily_spend: args.daily_spend.as_ref().map(|sum| sum.parse().map_err(Failure::usage)).transpose()?,
        by: args.by.as_str().into(),
        reason: args.reason.as_str().into(),
        ..ScopeCapsOrder::default()
    })
}

fn caps(args: &CapsArgs) -> Result<CapsOrder, Failure> {
    let money = |text: &Option<String>| text.as_ref().map(|text| text.parse().map_err(Failure::usage)).transpose();
    let codes = args.barred.iter().map(|code| code.parse().map_err(Failure::usage));
    Ok(CapsOrder {
        id: args.id.as_str().into(),
        account: args.account.as_str().into(),
        calls: args.calls,
        calls_per_second: args.calls_per_second,
        daily_spend: money(&args.daily_spend)?,
        highest_rate: money(&args.highest_rate)?,
        barred: codes.collect::<Result<_, _>>()?,
        calls_without_extend: args.calls_without_extend,
        low_balance: money(&args.low_balance)?,
        high_spend: money(&args.high_spend)?,
        by: args.by.as_str().into(),
        reason: args.reason.as_str().into(),
        ..CapsOrder::default()
    })
}
