//! What a registry sends, bounded, and what it says of an error.

use bytes::Bytes;
use reqwest::Response;

use crate::tls::cause;

/// The whole body, which may not be longer than that.
pub(super) async fn bounded(mut answer: Response, most: usize) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| format!("it broke off: {}", cause(&error)))? {
        if bytes.len() + piece.len() > most {
            return Err(format!("it is longer than {most} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// What a registry says of an error, as one line.
pub(super) fn said(body: &[u8]) -> String {
    const LONGEST: usize = 300;
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Errors>(body) {
        Ok(Errors { errors }) => {
            let one = |One { code, message }: &One| if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
            errors.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_one_line_without_tricks() {
        assert_eq!(said(br#"{"errors":[{"code":"DENIED","message":"no\nway"},{"code":"X"}]}"#), "DENIED: no way; X");
        assert_eq!(said(b"a\n\x1b[31mb"), "a [31mb");
        assert_eq!(said(&[b'x'; 1000]).len(), 300);
    }
}
