//! `tandem engine`: fetching the embedded ClickHouse engine, and saying where it is.

use crate::output::{self, Ending, Failure, Outcome, note};
use crate::settings::{EngineKind, EngineSettings, Settings};
use reporting::fetch::{self, Progress};
use reporting::{Engine, EngineError, ReportingConfig};

/// Fetches the engine where it is not there yet.
pub fn fetch_engine() -> Outcome {
    let path = fetch::find_or_fetch(&mut show_progress()).map_err(Failure::broken)?;
    output::line(&path.display().to_string())?;
    Ok(Ending::Good)
}

/// Says where the engine is.
pub fn status(settings: &Settings) -> Outcome {
    match settings.engine.kind {
        EngineKind::None => output::line("none (settings)")?,
        EngineKind::Server => output::line(&settings.engine.url)?,
        EngineKind::Embedded => match fetch::find() {
            Ok(path) => output::line(&path.display().to_string())?,
            Err(error) => return Err(Failure::broken(error)),
        },
    }
    Ok(Ending::Good)
}

/// Opens the engine of the settings; fetches the embedded one first where `may_fetch`.
pub fn open(settings: &Settings, may_fetch: bool) -> Result<Engine, EngineError> {
    if may_fetch && settings.engine.kind == EngineKind::Embedded {
        fetch::find_or_fetch(&mut show_progress())?;
    }
    let data = settings.data.join("engine");
    Engine::open(&config(&settings.engine), &data)
}

fn config(settings: &EngineSettings) -> ReportingConfig {
    let server = settings.kind == EngineKind::Server;
    ReportingConfig {
        url: if server { settings.url.clone() } else { String::new() },
        user: settings.user.clone(),
        password: settings.password.clone(),
        database: settings.database.clone(),
        off: settings.kind == EngineKind::None,
        ..ReportingConfig::default()
    }
}

/// A bar while the engine comes; on anything but a terminal one line per stage.
fn show_progress() -> impl FnMut(Progress) {
    let bar = output::progress(0, "engine");
    let mut said = "";
    move |progress| {
        let (stage, done, total) = match &progress {
            Progress::Npm { .. } => ("fetching the reporting engine through npm (178 MB, once)", 0, 0),
            Progress::NpmFailed { why } => {
                note(&format!("npm could not fetch the reporting engine ({why}); trying HTTPS"));
                return;
            }
            Progress::Downloading { done, total } => {
                ("fetching the reporting engine over HTTPS (178 MB, once)", *done, *total)
            }
            Progress::Checking { done, total } => ("checking the reporting engine's SHA-256", *done, *total),
            Progress::Unpacking { done, total } => ("unpacking the reporting engine", *done, *total),
        };
        if stage != said {
            note(stage);
            said = stage;
        }
        bar.set_length(total.max(1));
        bar.set_position(done);
    }
}
