//! The thread that sends spans.

use std::sync::Arc;

use super::queue::{Queue, Work};
use crate::{
    config::TracesConfig,
    telemetry::otlp::{self, Client, ClientOptions},
};

pub(super) struct Exporter {
    queue: Arc<Queue>,
    client: Client,
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Exporter {
    pub(super) fn new(endpoint: &url::Url, config: &TracesConfig, queue: Arc<Queue>) -> Result<Self, String> {
        let client = Client::new(&ClientOptions { what: "traces", endpoint, headers: &config.headers, gzip: false })?;
        Ok(Self { queue, client, resource: otlp::resource(&config.service_name), scope: otlp::scope() })
    }

    /// Sends until nobody can send any more and all is sent.
    pub(super) fn run(mut self) {
        while let Some(work) = self.queue.next() {
            match work {
                Work::Send { spans, is_last } => {
                    let count = spans.count();
                    let failed = match self.client.send(spans.request(&self.resource, &self.scope), is_last) {
                        Ok(answer) => {
                            let rejected = otlp::rejected(&answer).min(count);
                            self.queue.counts.exported(count - rejected);
                            self.queue.counts.lost(rejected);
                            (rejected > 0).then(|| format!("the collector rejected {rejected} of {count} spans"))
                        }
                        Err(why) => {
                            self.queue.counts.lost(count);
                            Some(format!("{count} spans were dropped: {why}"))
                        }
                    };
                    // They wait until they are sent or dropped: so many have a place in the queue.
                    self.queue.done(spans);
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
