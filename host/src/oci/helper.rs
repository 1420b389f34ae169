//! Programs that keep the credentials of registries: `docker-credential-NAME`, which `credHelpers` and `credsStore` of `docker login`
//! name.
//!
//! One is asked by its standard input, and answers by its output and exit status. It gets a time and a length, and what it says
//! appears nowhere but as the credentials.

use std::{ffi::OsStr, io, process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

use crate::config::Secret;

/// Some ask a cloud for a token first.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tokens have some thousand bytes.
const MOST: u64 = 64 << 10;

/// What a program says where it has nothing; its exit status is that of any failure.
const NOTHING: &str = "credentials not found";

/// The user that stands for a token which is to be exchanged.
const TOKEN: &str = "<token>";

/// What a program has.
pub(super) enum Helped {
    Login(String, Secret),
    /// A token that is to be exchanged for another one.
    Identity,
    Nothing,
    /// There is no such program.
    Missing,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// What `docker-credential-NAME` has for a server.
///
/// # Errors
///
/// Why it cannot be used. Says nothing of what it said.
pub(super) async fn get(name: &str, server: &str) -> Result<Helped, String> {
    if name.is_empty() || !name.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char)) {
        return Err(format!("{name:?} is no name of a program docker-credential-NAME"));
    }
    ask(format!("docker-credential-{name}").as_ref(), server, PATIENCE).await
}

async fn ask(program: &OsStr, server: &str, patience: Duration) -> Result<Helped, String> {
    let shown = program.to_string_lossy();
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Helped::Missing),
        Err(error) => return Err(format!("cannot start {shown}: {error}")),
    };
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let asking = async {
        if let Some(mut input) = input {
            // One that does not read what it is asked for says so by its status.
            let _ = input.write_all(format!("{server}\n").as_bytes()).await;
        }
        let mut said = Vec::new();
        if let Some(output) = output {
            output.take(MOST + 1).read_to_end(&mut said).await?;
        }
        if said.len() as u64 > MOST {
            return Ok((None, said));
        }
        Ok::<_, io::Error>((Some(child.wait().await?), said))
    };
    // It ends with what waits for it.
    let (status, said) = match timeout(patience, asking).await {
        Err(_) => return Err(format!("{shown} has not answered for {server} within {} s", patience.as_secs_f64())),
        Ok(Err(error)) => return Err(format!("cannot read from {shown}: {error}")),
        Ok(Ok((None, _))) => return Err(format!("{shown} says more than {MOST} bytes for {server}")),
        Ok(Ok((Some(status), said))) => (status, said),
    };
    if !status.success() {
        if String::from_utf8_lossy(&said).contains(NOTHING) {
            return Ok(Helped::Nothing);
        }
        return Err(format!("{shown} has failed for {server} ({status}); try: echo {server} | {shown} get"));
    }
    let answer: Answer = serde_json::from_slice(&said).map_err(|_| format!("{shown} does not answer with JSON of Username and Secret"))?;
    Ok(if answer.user == TOKEN { Helped::Identity } else { Helped::Login(answer.user, Secret(answer.secret)) })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;

    fn script(folder: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = folder.path().join("docker-credential-test");
        // A file that is open for writing anywhere cannot be run: another test may be starting a program just now.
        let new = folder.path().join("new");
        fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    async fn said(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = script(&folder, text);
        let asked = async || match ask(path.as_os_str(), "r.example", Duration::from_secs(20)).await {
            Ok(Helped::Login(user, secret)) => format!("{user}:{}", secret.0),
            Ok(Helped::Identity) => "identity".to_owned(),
            Ok(Helped::Nothing) => "nothing".to_owned(),
            Ok(Helped::Missing) => "missing".to_owned(),
            Err(error) => error,
        };
        loop {
            let said = asked().await;
            // ETXTBSY: see above.
            if !said.contains("Text file busy") {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_program_is_asked_for_a_server_and_answers_with_a_user() {
        let echo = r#"[ "$1" = get ] && read server && printf '{"ServerURL":"%s","Username":"u","Secret":"of %s"}' "$server" "$server""#;
        assert_eq!(said(echo).await, "u:of r.example");
        assert_eq!(said(r#"echo '{"Username":"<token>","Secret":"hunter2"}'"#).await, "identity");
        assert_eq!(said("echo 'credentials not found in native keychain'; exit 1").await, "nothing");
        assert!(matches!(get("is-not-installed-here", "r.example").await, Ok(Helped::Missing)));
    }

    #[tokio::test]
    async fn what_a_program_does_wrong_is_said_and_not_what_it_said() {
        for (text, says) in [
            ("echo hunter2; exit 3", "has failed for r.example (exit status: 3)"),
            ("echo hunter2", "does not answer with JSON"),
            ("echo '{\"Username\":\"hunter2\"}'", "does not answer with JSON"),
            ("yes hunter2", "says more than"),
            ("kill -9 $$", "signal: 9"),
        ] {
            let error = said(text).await;
            assert!(error.contains(says) && !error.contains("hunter2"), "{text}: {error}");
        }
        for name in ["", "../x", "a/b", "a b", "a;b"] {
            assert!(get(name, "r.example").await.err().unwrap().contains("no name of a program"), "{name}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let path = script(&folder, &format!("echo $$ > {}; exec sleep 1000", pid.display()));
        let mut error;
        loop {
            error = ask(path.as_os_str(), "r.example", Duration::from_millis(1_500)).await.err().unwrap();
            if !error.contains("Text file busy") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(error.contains("has not answered"), "{error}");
        let Ok(pid) = fs::read_to_string(&pid) else { return };
        let gone = async {
            while PathBuf::from(format!("/proc/{}", pid.trim())).exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it is ended, and its end is taken note of");
    }
}
