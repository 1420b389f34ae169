//! Which container engine is used.

use std::{fmt, path::PathBuf, str::FromStr};

/// Which engine is wanted. Key: `[host] container_engine`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// `auto`: `CONTAINER_HOST` and `DOCKER_HOST`, the sockets where podman and docker put them,
    /// the programs `podman` and `docker`.
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
    "{0:?} is not a container engine; allowed: \"auto\", \"podman\", \"docker\", the path of such a program, or the address of an API such as \"unix:///run/podman/podman.sock\""
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
}
