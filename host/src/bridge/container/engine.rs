//! Finding a container engine: the one that was named, or else whichever answers.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use super::{Backend, api::Api, cli::Cli};

/// How long an engine may take to say that it is there. Podman's service is started by its socket, which takes about a second.
const ANSWER: Duration = Duration::from_secs(10);

/// Which engine is wanted. Key: `[host] container_engine`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// `auto`: `CONTAINER_HOST` and `DOCKER_HOST`, the sockets where podman and docker put them, the programs `podman` and `docker`.
    #[default]
    Auto,
    /// `podman`, `docker`, or the path of one of them: the program.
    Program(PathBuf),
    /// `unix:///path`, `tcp://host:port`, `http://host:port`: the Docker-compatible API.
    Api(String),
}

/// What cannot be an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no container engine; allowed: \"auto\", \"podman\", \"docker\", the path of such a program, or the address of an API such as \"unix:///run/podman/podman.sock\""
)]
pub struct ChoiceError(String);

impl FromStr for EngineChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "podman" | "docker" => Ok(Self::Program(text.into())),
            path if path.starts_with('/') => Ok(Self::Program(path.into())),
            url if ["unix:///", "tcp://", "http://"].iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len()) => {
                Ok(Self::Api(url.to_owned()))
            }
            _ => Err(ChoiceError(text.to_owned())),
        }
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Program(path) => write!(f, "{}", path.display()),
            Self::Api(url) => f.write_str(url),
        }
    }
}

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

    #[test]
    fn a_choice_is_read_as_it_is_shown() {
        for text in ["auto", "podman", "docker", "/usr/bin/podman", "unix:///run/podman/podman.sock", "tcp://127.0.0.1:2375"] {
            assert_eq!(text.parse::<EngineChoice>().unwrap().to_string(), text);
        }
        for text in ["", "containerd", "unix://", "podman.sock", "https://x"] {
            assert!(text.parse::<EngineChoice>().is_err(), "{text}");
        }
    }

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
