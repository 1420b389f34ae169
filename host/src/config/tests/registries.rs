//! Plugins from an OCI registry: what of `source`, `[registry.NAME]` and `signed` is refused, and how.

use super::*;

#[test]
fn what_is_wrong_about_a_registry_is_said_where_it_stands() {
    for (text, message) in [
        (
            "[plugin.default]\nsource = \"oci://ghcr.io/a:1\"",
            "2:1: \"source\" in [plugin.default]: belongs to one plugin; write it in [plugin.NAME] of toolbay.toml",
        ),
        (
            "[plugin.w]\nsource = \"https://ghcr.io/a\"",
            "2:10: \"source\" in [plugin.w]: \"https://ghcr.io/a\" does not begin with oci://; write oci://registry/repository:tag or",
        ),
        ("[plugin.w]\npull = \"never\"", "2:8: \"pull\" in [plugin.w]: \"never\" is not allowed; it must be \"always\" or \"missing\""),
        ("[registry.\"https://ghcr.io\"]", "\"https://ghcr.io\" in [registry]: is not the host of a registry; write it as in `source`"),
        ("[registry.w]\nusername = \"u\"", "\"w\" in [registry]: has a \"username\" and no \"password\""),
        ("[registry.w]\npassword = { from_env = \"GOOD\" }", "\"w\" in [registry]: has a \"password\" and no \"username\""),
        ("[registry.w]\npassword = \"s3cr3t\"", "a secret cannot be written in the configuration"),
        ("[registry.w]\ntoken = { from_env = \"EMPTY\" }", "\"token\" in [registry.w]: it cannot be empty"),
        (
            "[registry.w]\nusername = \"u\"\npassword = { from_env = \"GOOD\" }\ntoken = { from_env = \"GOOD\" }",
            "4:1: \"token\" in [registry.w]: takes the place of \"username\" and \"password\"",
        ),
        ("[registry.w]\ninsecure = true\nca = \"x\"", "3:1: \"ca\" in [registry.w]: means nothing with insecure = true"),
        (
            "[trust]\nsigned = [{ source = \"*\" }]",
            "has neither \"keys\" nor \"identities\", so nobody could sign; write { source = \"ghcr.io/acme/*\", keys = [\"cosign.pub\"] }, or",
        ),
        ("[trust]\nsigned = [{ keys = [\"/dev/null\"] }]", "has no \"source\"; write { source = \"ghcr.io/acme/*\""),
        ("[trust]\nsigned = [{ source = \"*\", identities = [] }]", "no identity is named, so nothing could be signed by one"),
        (
            "[trust]\nsigned = [{ source = \"*\", identities = [{ subject = \"a@example.com\" }], rekor = [] }]",
            "an identity has no \"issuer\"; write { subject = ",
        ),
        (
            "[trust]\nsigned = [{ source = \"*\", identities = [{ subject = \"*\", issuer = \"*\" }] }]",
            "has \"identities\" and no roots to hold them against; name `trusted_root`, or `fulcio` and `rekor`",
        ),
        (
            "[trust]\nsigned = [{ source = \"*\", identities = [{ subject = \"*\", issuer = \"*\" }], rekor = [\"/dev/null\"] }]",
            "cannot use the roots in /dev/null: it has no -----BEGIN PUBLIC KEY-----",
        ),
        (
            "[trust]\nsigned = [{ source = \"*\", identities = [{ subject = \"*\", issuer = \"*\" }], trusted_root = [\"/dev/null\"] }]",
            "cannot use the roots in /dev/null: it is not a trusted_root.json of Sigstore",
        ),
        (
            "[trust]\nsigned = [{ source = \"*\", keys = [\"/dev/null\"], fulcio = [\"/dev/null\"] }]",
            "means nothing without \"identities\"; with `keys` a signature is held against these alone",
        ),
        ("[trust]\nsigned = [{ source = \"*\", keys = [] }]", "no key is named"),
        ("[trust]\nsigned = [{ source = \"oci://x/y\", keys = [\"/dev/null\"] }]", "is not a pattern of registry and repository"),
        ("[trust]\nsigned = [{ source = \"*\", keys = [\"/nowhere/c.pub\"] }]", "cannot use the public key /nowhere/c.pub: No such file"),
        ("[trust]\nsigned = [{ source = \"*\", keys = [\"/dev/null\"] }]", "it has no -----BEGIN PUBLIC KEY-----"),
    ] {
        let shown = wrong(text);
        assert!(shown.contains(message), "{text}\n{shown}");
    }
}

#[test]
fn a_sidecar_says_nothing_of_where_its_plugin_comes_from() {
    for key in ["source = \"oci://ghcr.io/a\"", "pull = \"missing\"", "interval = \"1m\"", "sidecar = true"] {
        let shown = wrong_sidecar(&good(""), "w", key);
        assert!(shown.contains("belongs to one plugin; write it in [plugin.NAME] of toolbay.toml"), "{shown}");
    }
}

#[test]
fn the_default_of_all_plugins_says_how_they_are_pulled() {
    let config = good("[plugin.default]\npull = \"missing\"\n[plugin.w]\nsource = \"oci://ghcr.io/a\"");
    let origin = &config.plugin["w"].origin;
    assert_eq!(
        (origin.pull, origin.source.as_ref().map(ToString::to_string)),
        (PullPlugin::Missing, Some("oci://ghcr.io/a:latest".to_owned()))
    );
}
