//! Which image a name stands for, and whether that is the one that was accepted.

use crate::{config::LockedImage, provider::ImageStatus};

/// What an engine knows an image by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The engine's own id of it, as the engine takes it.
    pub(super) id: String,
    /// `NAME@sha256:…`, of the registries that it came from or was made for.
    pub(super) digests: Vec<String>,
}

impl Resolved {
    /// As it is shown, and compared. `name`: as the configuration has it.
    pub(super) fn status(&self, name: &str) -> ImageStatus {
        let own = if self.id.contains(':') { self.id.clone() } else { format!("sha256:{}", self.id) };
        let (repository, given) = split(name);
        let of = |digest: &String| {
            let (place, digest) = digest.rsplit_once('@')?;
            // An engine writes `docker.io/library/` before names that are short.
            (place == repository || place.ends_with(&format!("/{repository}"))).then(|| digest.to_owned())
        };
        let mut all: Vec<String> = given.map(str::to_owned).into_iter().chain(self.digests.iter().filter_map(of)).collect();
        all.extend(self.digests.iter().filter_map(|digest| Some(digest.rsplit_once('@')?.1.to_owned())));
        all.push(own);
        let digest = all.first().cloned().unwrap_or_default();
        ImageStatus { name: name.to_owned(), digest, all }
    }
}

/// The repository of a name, without its tag, and the digest that it names itself.
fn split(name: &str) -> (&str, Option<&str>) {
    let (name, digest) = name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)));
    // A colon before a slash is that of a port.
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    (repository, digest)
}

/// Whether an image is the one that was accepted.
///
/// # Errors
///
/// Why not, and what to do, in a sentence.
pub(super) fn check(server: &str, accepted: &LockedImage, now: &ImageStatus) -> Result<(), String> {
    let how = format!("`toolbay lock --diff` shows it, and `toolbay lock --accept {server}` accepts it");
    if accepted.name != now.name {
        return Err(format!("image {} was not accepted: toolbay.lock has {}; {how}", now.name, accepted.name));
    }
    if !now.all.contains(&accepted.digest) {
        return Err(format!(
            "image {} is another one than was accepted: it is {} now, and toolbay.lock has {}; {how}",
            now.name, now.digest, accepted.digest
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(id: &str, digests: &[&str]) -> Resolved {
        Resolved { id: id.to_owned(), digests: digests.iter().map(|one| (*one).to_owned()).collect() }
    }

    #[test]
    fn an_image_is_shown_by_the_digest_of_its_own_repository() {
        let both = there("aa", &["ghcr.io/acme/other@sha256:11", "ghcr.io/acme/notes@sha256:22"]);
        for (name, digest) in [
            ("ghcr.io/acme/notes:1", "sha256:22"),
            ("ghcr.io/acme/notes", "sha256:22"),
            ("ghcr.io/acme/other:1", "sha256:11"),
            // Named by its id, or by a name that no registry knows.
            ("aa", "sha256:11"),
            ("ghcr.io/acme/notes@sha256:33", "sha256:33"),
        ] {
            assert_eq!(both.status(name).digest, digest, "{name}");
            assert!(both.status(name).all.contains(&"sha256:aa".to_owned()), "{name}");
        }
        assert_eq!(there("sha256:aa", &[]).status("localhost:5000/notes").digest, "sha256:aa");
        assert_eq!(there("x", &["docker.io/library/busybox@sha256:5"]).status("busybox:1").digest, "sha256:5");
        assert_eq!(split("localhost:5000/notes"), ("localhost:5000/notes", None));
        assert_eq!(split("localhost:5000/notes:1"), ("localhost:5000/notes", None));
    }

    #[test]
    fn an_image_is_accepted_by_any_of_its_digests_and_under_its_name_only() {
        let accepted = LockedImage { name: "acme/notes:1".to_owned(), digest: "sha256:22".to_owned() };
        let now = |name: &str, digests: &[&str]| check("box", &accepted, &there("aa", digests).status(name));
        assert_eq!(now("acme/notes:1", &["docker.io/acme/notes@sha256:11", "mirror/notes@sha256:22"]), Ok(()));
        let moved = now("acme/notes:1", &["docker.io/acme/notes@sha256:11"]).unwrap_err();
        assert!(moved.contains("it is sha256:11 now, and toolbay.lock has sha256:22") && moved.contains("--accept box"), "{moved}");
        let renamed = now("acme/notes:2", &["docker.io/acme/notes@sha256:22"]).unwrap_err();
        assert!(renamed.contains("acme/notes:2 was not accepted: toolbay.lock has acme/notes:1"), "{renamed}");
    }
}
