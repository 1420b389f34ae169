//! Finding a container engine: the one that was named, or else whichever answers.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use super::{Backend, api::Api, cli::Cli};
use crate::config::EngineChoice;

/// How long an engine may take to say that it is there. Podman's service is started by its socket, which takes about a second.
const ANSWER: Duration = Duration::from_secs(10);

/// No engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no container engine answers: {}; install podman (Debian: apt-get install podman) or start docker, or say where one is by [host] container_engine", .0.join("; "))]
pub struct EngineError(Vec<String>);

/// The first that answers, and what it is in words.
pub(super) async fn find(choice: &EngineChoice) -> Result<(Arc<dyn Backend>, String), EngineError> {
    let mut tried = Vec::new();
    for candidate in candidates(choice) {
        let answer = match &candidate {
            Candidate::Api(url) => tokio::time::timeout(ANSWER, api(url)).await,
            Candidate::Program(program) => tokio::time::timeout(ANSWER, cli(program)).await,
        };
        match answer.unwrap_or_else(|_| Err(format!("no answer within {ANSWER:?}"))) {
            Ok(found) => return Ok(found),
            Err(error) => tried.push(format!("{candidate}: {error}")),
        }
    }
    Err(EngineError(tried))
}

enum Candidate {
    Api(String),
    Program(PathBuf),
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(url) => f.write_str(url),
            Self::Program(path) => write!(f, "{}", path.display()),
        }
    }
}

fn candidates(choice: &EngineChoice) -> Vec<Candidate> {
    match choice {
        EngineChoice::Program(path) => vec![Candidate::Program(path.clone())],
        EngineChoice::Api(url) => vec![Candidate::Api(url.clone())],
        EngineChoice::Auto => {
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let told: Vec<String> = ["CONTAINER_HOST", "DOCKER_HOST"].into_iter().filter_map(variable).collect();
            if !told.is_empty() {
                // Whoever sets these means this engine and no other.
                return told.into_iter().map(Candidate::Api).collect();
            }
            let own = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
            let own = own.iter().flat_map(|run| [run.join("podman/podman.sock"), run.join("docker.sock")]);
            let sockets = ["/run/podman/podman.sock", "/var/run/docker.sock"].map(PathBuf::from).into_iter().chain(own);
            let sockets = sockets.filter(|path| path.exists()).map(|path| Candidate::Api(format!("unix://{}", path.display())));
            sockets.chain(["podman", "docker"].map(|name| Candidate::Program(name.into()))).collect()
        }
    }
}

async fn api(url: &str) -> Result<(Arc<dyn Backend>, String), String> {
    let (api, version) = Api::connect(url).await?;
    Ok((Arc::new(api), format!("{version} at {url}")))
}

async fn cli(program: &std::path::Path) -> Result<(Arc<dyn Backend>, String), String> {
    let (cli, version) = Cli::open(program).await?;
    Ok((Arc::new(cli), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_an_engine_the_error_says_what_was_tried_and_what_to_do() {
        let choice = EngineChoice::Api("unix:///nowhere/engine.sock".to_owned());
        let error = find(&choice).await.err().unwrap().to_string();
        assert!(error.starts_with("no container engine answers: unix:///nowhere/engine.sock: "), "{error}");
        assert!(error.contains("[host] container_engine"), "{error}");
        let error = find(&EngineChoice::Program("/nowhere/podman".into())).await.err().unwrap().to_string();
        assert!(error.contains("/nowhere/podman: "), "{error}");
    }
}
