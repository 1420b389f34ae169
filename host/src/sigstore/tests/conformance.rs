//! private trial
use crate::sigstore::{key::Key, statement::Content, *};
use std::{fs, path::Path};

#[test]
fn conformance_private() {
    let Some(root) = std::env::var_os("SIGSTORE_CONFORMANCE") else { return };
    let root = Path::new(&root);
    let mut bad = 0;
    let mut names: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    names.sort();
    for folder in names {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let artifact = fs::read(folder.join("artifact")).unwrap_or_else(|_| fs::read(root.join("a.txt")).unwrap());
        let mut roots = Roots::default();
        let text = read("trusted_root.json").unwrap_or_else(|| fs::read_to_string(std::env::var("TRUSTED_ROOT").unwrap()).unwrap());
        let result = (|| {
            roots.add_trusted_root(&text)?;
            roots.check()?;
            let evidence = Evidence::of_bundle(&fs::read(folder.join("bundle.sigstore.json")).unwrap())?;
            let digest = crate::oci::sha256(&artifact);
            let artifact = Subject { digest: &digest, bytes: &artifact };
            if let Some(key) = read("key.pub") {
                let key = Key::read(&roots::pem(&key, "PUBLIC KEY")?[0])?;
                return evidence
                    .is_by_key(&artifact, &[], |m, s| key.has_signed(m, s))
                    .then(|| "by key".to_owned())
                    .ok_or("not by key".to_owned());
            }
            let predicates = match &evidence.content {
                Content::Envelope { payload, .. } => {
                    let v: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
                    vec![v["predicateType"].as_str().unwrap_or_default().to_owned()]
                }
                _ => vec![],
            };
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            let signer = evidence.signer(&artifact, &predicates, &roots, now)?;
            let identity = read("identity").unwrap_or("https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main".into());
            let issuer = read("issuer").unwrap_or("https://token.actions.githubusercontent.com".into());
            if signer.subjects.contains(&identity.trim().to_owned()) && signer.issuer == issuer.trim() {
                Ok(format!("{signer:?}"))
            } else {
                Err(format!("OTHER IDENTITY {signer:?}"))
            }
        })();
        let wanted = !name.ends_with("_fail");
        let mark = if result.is_ok() == wanted {
            "ok  "
        } else {
            bad += 1;
            "BAD "
        };
        println!("{mark} {name}: {result:?}");
    }
    println!("{bad} bad");
}
