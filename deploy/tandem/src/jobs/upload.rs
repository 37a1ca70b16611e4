//! A file on its way into the data folder, chunk by chunk. What does not come to its end leaves nothing.

use super::store::{Job, Task};
use super::{Jobs, file_of, safe_name};
use crate::node::wall_micros;
use console::jobs::Form;
use console::source::{Answer, SourceError, Upload};
use facts::time::rfc3339;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// One file.
pub struct Arriving {
    jobs: Arc<Jobs>,
    job: Job,
    path: PathBuf,
    out: tokio::fs::File,
    hash: blake3::Hasher,
    whole: bool,
}

fn broken(path: &std::path::Path, error: &std::io::Error) -> SourceError {
    SourceError::Broken(format!("{}: {error}; the file was not kept, send it again", path.display()))
}

impl Arriving {
    /// Makes place for it.
    pub async fn open(jobs: Arc<Jobs>, name: &str) -> Result<Self, SourceError> {
        let file = safe_name(name);
        let task = Task::Import { file, hash: String::new(), form: Form::new(), confirmed: None };
        let job = Job::new("", task, wall_micros()).map_err(crate::pages::shown)?;
        let path = file_of(&jobs.folder, &job);
        let made = async {
            if let Some(folder) = path.parent() {
                tokio::fs::create_dir_all(folder).await?;
            }
            tokio::fs::File::create(&path).await
        };
        let out = made.await.map_err(|error| broken(&path, &error))?;
        Ok(Self { jobs, job, path, out, hash: blake3::Hasher::new(), whole: false })
    }

    async fn end(mut self: Box<Self>, mut form: Form) -> Result<String, SourceError> {
        let flushed = async {
            self.out.flush().await?;
            self.out.sync_all().await
        };
        flushed.await.map_err(|error| broken(&self.path, &error))?;
        let deck = form.remove("deck").unwrap_or_default().trim().to_owned();
        if form.remove("what").is_some_and(|what| what == "names") {
            self.job.deck.clone_from(&deck);
            form.insert("like".to_owned(), deck);
            if let Task::Import { file, .. } = &self.job.task {
                self.job.task = Task::Names { file: file.clone(), form };
            }
            let id = self.jobs.begin(self.job.clone())?;
            self.whole = true;
            return Ok(id);
        }
        if deck.is_empty() {
            return Err(SourceError::Wrong("name the deck that takes the file".to_owned()));
        }
        if self.job.bytes == 0 {
            return Err(SourceError::Wrong("the file is empty; choose another".to_owned()));
        }
        // The hour of the notice is that of the preview, also when it is written later.
        let received = form.entry("received".to_owned()).or_default();
        if received.trim().is_empty() {
            *received = rfc3339(self.job.at / 1_000_000 * 1_000_000);
        }
        self.job.deck = deck;
        let hashed = self.hash.finalize().to_hex().to_string();
        if let Task::Import { hash, form: asked, .. } = &mut self.job.task {
            (*hash, *asked) = (hashed, form);
        }
        let id = self.jobs.begin(self.job.clone())?;
        self.whole = true;
        Ok(id)
    }
}

impl Upload for Arriving {
    fn write(&mut self, chunk: axum::body::Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            self.hash.update(&chunk);
            self.job.bytes += chunk.len() as u64;
            self.out.write_all(&chunk).await.map_err(|error| broken(&self.path, &error))
        })
    }

    fn begin(self: Box<Self>, form: Form) -> Answer<'static, String> {
        Box::pin(self.end(form))
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.whole {
            let folder = self.jobs.folder_of(&self.job.id);
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::warn!(%error, "{} cannot be removed; it goes at the next start", folder.display());
            }
        }
    }
}
