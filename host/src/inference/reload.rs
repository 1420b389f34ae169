//! Looks at the folders of models, and puts changed files in place of those that serve.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{
    backend::Backend,
    model::{Model, Seen},
};

/// How often a folder is looked at: a listing and some calls of stat.
const PULSE: Duration = Duration::from_millis(500);

/// The watching thread. It ends, when what it is at is done, with this.
pub(super) struct Reloads {
    _end: mpsc::Sender<()>,
}

impl Reloads {
    pub(super) fn start(models: Vec<Arc<Model>>, backend: Arc<dyn Backend>) -> std::io::Result<Self> {
        let (end, ended) = mpsc::channel();
        thread::Builder::new().name("nn reload".to_owned()).spawn(move || {
            let mut watch = Watch { models, before: BTreeMap::new() };
            while ended.recv_timeout(PULSE) == Err(mpsc::RecvTimeoutError::Timeout) {
                watch.look(&*backend);
            }
        })?;
        Ok(Self { _end: end })
    }
}

struct Watch {
    models: Vec<Arc<Model>>,
    /// What was seen the last time, of folders that are not what serves.
    before: BTreeMap<Arc<str>, Change>,
}

enum Change {
    /// Seen once: it may still be written to.
    New(Seen),
    /// Taken, or found broken: nothing to do before it changes again.
    Tried(Seen),
}

impl Watch {
    fn look(&mut self, backend: &dyn Backend) {
        for model in &self.models {
            // A folder that is gone, or empty, is one that is being replaced: what serves goes on.
            let Ok(seen) = super::model::look(&model.name, &model.config) else { continue };
            if model.version().seen == seen {
                if self.before.remove(&model.name).is_some() {
                    model.settle();
                }
                continue;
            }
            let next = match self.before.remove(&model.name) {
                Some(Change::Tried(tried)) if tried == seen => Change::Tried(seen),
                Some(Change::New(before)) if before == seen => {
                    model.reload(seen.clone(), backend);
                    Change::Tried(seen)
                }
                _ => Change::New(seen),
            };
            self.before.insert(model.name.clone(), next);
        }
    }
}
