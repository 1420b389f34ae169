//! The thread that sends what has been gathered: spans, or audit lines.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{
    client::{Client, ClientOptions},
    queue::{Queue, Work},
    resource, scope,
};

pub(crate) struct Exporter {
    queue: Arc<Queue>,
    client: Client,
    /// What items are called, in the plural.
    items: &'static str,
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Exporter {
    pub(crate) fn new(options: &ClientOptions<'_>, items: &'static str, service_name: &str, queue: Arc<Queue>) -> Result<Self, String> {
        Ok(Self { queue, client: Client::new(options)?, items, resource: resource(service_name), scope: scope() })
    }

    /// Sends on a thread of its own, until nobody can put anything more into the queue and all of it is sent.
    pub(crate) fn start(self, thread: &str) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name(thread.to_owned()).spawn(move || self.run())
    }

    fn run(mut self) {
        while let Some(work) = self.queue.next() {
            match work {
                Work::Send { batch, is_last } => {
                    let (count, items) = (batch.count(), self.items);
                    let request = batch.request(&self.resource, &self.scope);
                    let failed = match self.client.send(request, is_last, |wait| self.queue.pause(wait)) {
                        Ok(answer) => {
                            let rejected = answer.rejected.min(count);
                            self.queue.counts.exported(count - rejected);
                            self.queue.counts.lost(rejected);
                            answer.trouble(&format!("of {count} {items}"))
                        }
                        Err(why) => {
                            self.queue.counts.lost(count);
                            Some(format!("{count} {items} were dropped: {why}"))
                        }
                    };
                    // They wait until they are sent or dropped: so many have a place in the queue.
                    self.queue.done(batch);
                    if let Some(why) = failed {
                        self.client.tell(&why);
                    }
                }
                Work::Tell(done) => {
                    // Who asked may have given up.
                    let _ = done.try_send(());
                }
            }
        }
    }
}
