//! A server on stdin and stdout as one that can be reached: a start and a handshake for each replica.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{
    launch::Launch,
    stdio::{self, StdioChannel},
};
use crate::{
    config::ServerLimits,
    provider::{ImageStatus, ProviderId, ProviderKind},
    supervisor::{
        replicas::{Attached, ConnectError, Connected},
        server::ServerConnector,
    },
    upstream::Known,
};

/// A server on stdin and stdout, started here.
pub struct StdioConnector {
    id: ProviderId,
    launch: Box<dyn Launch>,
    limits: ServerLimits,
    /// What one replica has told about all of them.
    known: Arc<Known>,
}

impl StdioConnector {
    /// What is started by `launch`.
    #[must_use]
    pub fn new(id: ProviderId, launch: Box<dyn Launch>, limits: ServerLimits) -> Self {
        Self { id, launch, limits, known: Arc::new(Known::of(&limits)) }
    }

    async fn start(&self) -> Result<Arc<StdioChannel>, ConnectError> {
        let mut again = false;
        loop {
            let launched = self.launch.launch().await.map_err(|error| ConnectError(error.to_string()))?;
            match stdio::connect(self.id.as_str(), launched, &self.limits, &self.known).await {
                Ok(channel) => return Ok(channel),
                // It ended at a question that older servers do not know, and will not be asked that again.
                Err(error) if error.again && !again => again = true,
                Err(error) => return Err(ConnectError(error.to_string())),
            }
        }
    }
}

impl ServerConnector for StdioConnector {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Bridge
    }

    fn what(&self) -> String {
        self.launch.what()
    }

    fn image(&self) -> Option<ImageStatus> {
        self.launch.image()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), ConnectError>> {
        Box::pin(async { self.launch.prepare().await.map_err(|error| ConnectError(error.to_string())) })
    }

    fn open(&self) -> BoxFuture<'_, Result<Connected, ConnectError>> {
        Box::pin(async {
            let channel = self.start().await?;
            Ok(Connected { process: Box::new(Attachment(channel.clone())), channel })
        })
    }
}

/// The process behind a channel.
struct Attachment(Arc<StdioChannel>);

impl Attached for Attachment {
    fn name(&self) -> String {
        self.0.name().to_owned()
    }

    fn stop(self: Box<Self>, grace: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.0.stop(grace).await })
    }
}
