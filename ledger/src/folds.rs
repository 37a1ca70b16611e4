//! Which fold versions this program runs, and which one a frame that is begun now names (design 8.10).

use accounting::FOLD_VERSION;
use facts::BookedAt;
use facts::config::Config;

use crate::error::LedgerError;

/// Debug builds that are started with this in their environment run the trial version, too: by them the way from one
/// release to the next is tested with one binary.
#[cfg(debug_assertions)]
const TRIAL: &str = "TANDEM_TRIAL_FOLD";

/// The newest version that this program folds.
pub fn newest() -> u32 {
    #[cfg(debug_assertions)]
    {
        static NEWEST: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        let found =
            || if cfg!(test) || std::env::var_os(TRIAL).is_some() { accounting::TRIAL_FOLD } else { FOLD_VERSION };
        *NEWEST.get_or_init(found)
    }
    #[cfg(not(debug_assertions))]
    FOLD_VERSION
}

/// The version of the next frame; an error where the configuration orders one, now or later, that this program does not
/// know: it must stop before the cut, for it could not go on behind it.
pub fn ordered(config: &Config, wall_micros: i64) -> Result<u32, LedgerError> {
    known(config, newest())?;
    Ok(config.fold_version_at(BookedAt(wall_micros)))
}

/// Whether a program that knows versions up to `newest` may work under this configuration.
pub fn known(config: &Config, newest: u32) -> Result<(), LedgerError> {
    match config.fold_versions.last_key_value() {
        Some((version, from)) if *version > newest => {
            Err(LedgerError::FoldOrdered { version: *version, from: *from, newest })
        }
        _ => Ok(()),
    }
}
