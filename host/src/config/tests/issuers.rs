//! `[auth.issuer.NAME]`: what is understood of it, and what is refused.

use super::*;

const HEAD: &str = "[auth]\nresource_url = \"https://a.example\"\n[auth.issuer.w]\nissuer = \"https://b.example\"\n";

#[test]
fn an_issuer_is_asked_about_opaque_tokens_by_a_secret_that_nobody_sees() {
    let config = good(&format!(
        "{HEAD}require_dpop = true\nintrospection = {{ client_id = \"toolbay\", client_secret.from_env = \"GOOD\", cache = \"5s\" }}"
    ));
    let issuer = &config.auth.issuer["w"];
    let secret = Secret(SECRET.to_owned());
    let wanted = IntrospectionConfig {
        client_id: "toolbay".to_owned(),
        client_secret: secret,
        cache: Duration::from_secs(5),
        ..IntrospectionConfig::default()
    };
    assert_eq!((issuer.introspection.as_ref(), issuer.require_dpop), (Some(&wanted), true));
    assert!(!format!("{config:?}").contains(SECRET), "Debug shows no secret");
}

#[test]
fn an_issuer_that_could_not_be_asked_or_would_be_shown_the_tokens_of_another_is_refused() {
    for (text, says) in [
        ("introspection = { client_id = \"x\" }", "has no \"client_secret\""),
        ("introspection = { client_secret.from_env = \"GOOD\" }", "has no \"client_id\""),
        ("introspection = { client_id = \"x\", client_secret = \"s3cr3t\" }", "a secret cannot be written in the configuration"),
        ("introspection = { client_id = \"x\", client_secret.from_env = \"EMPTY\" }", "it cannot be empty"),
        ("introspection = { client_id = \"\", client_secret.from_env = \"GOOD\" }", "cannot be empty"),
        ("introspection = { client_id = \"x\", client_secret.from_env = \"GOOD\", cache = \"0s\" }", "it must be 1s to 1h"),
        (
            "introspection = { client_id = \"x\", client_secret.from_env = \"GOOD\", endpoint = \"http://b.example/\" }",
            "must be an https URL",
        ),
        ("step_up = [\"mcp:admin\"]", "\"mcp:admin\" gives no role"),
    ] {
        let shown = wrong(&format!("{HEAD}{text}"));
        assert!(shown.contains(says), "{text}: {shown}");
    }
    let asked = "introspection = { client_id = \"x\", client_secret.from_env = \"GOOD\" }";
    let shown = wrong(&format!("{HEAD}{asked}\n[auth.issuer.v]\nissuer = \"https://c.example\"\n{asked}"));
    assert!(shown.contains("both have \"introspection\""), "{shown}");
}
