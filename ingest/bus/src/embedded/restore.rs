//! What a person orders done to a folder after a loss: events that go on where a lost log ended, a topic moved aside. It
//! never writes over what is there.

use super::files::{self, KnownTopics};
use super::{EmbeddedBus, check_folder_name, take_lock};
use crate::api::TopicSpec;
use crate::error::BusError;
use crate::incarnation;
use facts::stream::Incarnation;
use std::fs;
use std::path::Path;
use std::sync::Arc;

impl EmbeddedBus {
    /// Makes a topic of events that goes on where a lost one ended, by what its readers remember of it: by partition the
    /// incarnation and the offset after the last record that anybody consumed; `None` = nobody has any. What lay before
    /// is gone as if it had been trimmed; no offset that was ever consumed is given again.
    pub fn restore_events(&self, name: &str, partitions: &[Option<(Incarnation, u64)>]) -> Result<(), BusError> {
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        let spec = TopicSpec::events(name, count);
        spec.check()?;
        check_folder_name(name)?;
        let refused = |reason: &str| BusError::Config { setting: format!("topic {name}"), reason: reason.to_owned() };
        let mut topics = self.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if topics.contains_key(name) {
            return Err(refused("it is there already; nothing is restored over it"));
        }
        let mut from = Vec::with_capacity(partitions.len());
        for partition in partitions {
            from.push(match partition {
                Some(known) => *known,
                None => (incarnation::fresh()?, 0),
            });
        }
        let topic = self.create_topic_from(&spec, &from)?;
        self.remember(name, &topic)?;
        topics.insert(name.to_owned(), Arc::clone(&topic));
        drop(topics);
        self.write_incarnations(&topic)
    }

    /// Moves a topic of a folder that nobody has open out of it, whole, for a person to look at; it may be made anew
    /// then. Refused where a process has the folder.
    pub fn set_aside(root: &Path, name: &str, into: &Path) -> Result<(), BusError> {
        let _lock = take_lock(&root.join("LOCK"))?;
        let (from, topics) = (root.join(name), root.join("topics"));
        if into.exists() {
            let reason = format!("{} is there already", into.display());
            return Err(BusError::Config { setting: format!("topic {name}"), reason });
        }
        if let Some(folder) = into.parent() {
            fs::create_dir_all(folder).map_err(|e| BusError::io("cannot create folder", folder, e))?;
        }
        // First out of the list: a folder that is not in it is taken in again, one that is in it and not there is refused.
        let mut known = KnownTopics::read(&topics)?;
        known.0.retain(|(known, _)| known != name);
        known.write(&topics)?;
        if from.exists() {
            fs::rename(&from, into).map_err(|e| BusError::io("cannot move", &from, e))?;
        }
        files::sync_dir(root)
    }

    /// Names of the topics that were made in a folder, also where one's own folder is gone.
    pub fn made(root: &Path) -> Result<Vec<String>, BusError> {
        Ok(KnownTopics::read(&root.join("topics"))?.0.into_iter().map(|(name, _)| name).collect())
    }
}
