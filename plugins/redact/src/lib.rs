//! A guard that takes secrets and personal data out of arguments and answers, or denies what has some.

mod find;
mod numbers;
mod settings;
mod walk;

use exports::toolbay::plugin::{after_call, before_call};
use toolbay::plugin::guarding::{GuardedCall, Verdict};

use settings::{Action, Settings};
use walk::Redacted;

wit_bindgen::generate!({
    path: "../../wit",
    inline: "package toolbay:redact; world redact { export toolbay:plugin/before-call@0.1.0; export toolbay:plugin/after-call@0.1.0; }",
    generate_all,
});

struct Redact;

impl before_call::Guest for Redact {
    fn before_call(call: GuardedCall, arguments: String) -> Result<Verdict, String> {
        let settings = Settings::read(&call.settings)?;
        judge(&settings, settings.arguments, &arguments, "the arguments have")
    }
}

impl after_call::Guest for Redact {
    fn after_call(call: GuardedCall, _: String, answer: String) -> Result<Verdict, String> {
        let settings = Settings::read(&call.settings)?;
        judge(&settings, settings.answers, &answer, "the answer has")
    }
}

fn judge(settings: &Settings, action: Action, json: &str, has: &str) -> Result<Verdict, String> {
    if action == Action::Allow {
        return Ok(Verdict::Allow);
    }
    Ok(match walk::redact(settings, json)? {
        Redacted::Nothing => Verdict::Allow,
        Redacted::Found { what, .. } if action == Action::Deny => Verdict::Deny(format!("{has} {}", what.join(", "))),
        Redacted::Found { json, .. } => Verdict::Change(json),
    })
}

export!(Redact);

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(settings: &str, json: &str) -> Verdict {
        let settings = Settings::read(settings).unwrap();
        judge(&settings, settings.answers, json, "the answer has").unwrap()
    }

    #[test]
    fn what_has_nothing_passes_as_it_is() {
        for json in [r#"{"content":[{"type":"text","text":"a.b, c@d, 2026-11-29 12:00"}]}"#, "{}", r#"{"a":"line\none"}"#] {
            assert!(matches!(judged("{}", json), Verdict::Allow), "{json}");
        }
    }

    #[test]
    fn it_changes_or_denies_as_it_is_told() {
        let json = r#"{"content":[{"type":"text","text":"write to ann@example.com"}],"n":1.50}"#;
        let Verdict::Change(changed) = judged("{}", json) else { panic!() };
        assert_eq!(changed, json.replace("ann@example.com", "[redacted email]"), "numbers and order stay as they were");
        let Verdict::Deny(why) = judged(r#"{"answers":"deny"}"#, json) else { panic!() };
        assert_eq!(why, "the answer has email");
        assert!(matches!(judged(r#"{"answers":"allow"}"#, json), Verdict::Allow));
        assert!(matches!(judged(r#"{"find":["iban"]}"#, json), Verdict::Allow));
    }

    #[test]
    fn arguments_pass_unless_it_is_told() {
        let settings = Settings::read("{}").unwrap();
        assert!(settings.arguments == Action::Allow && settings.answers == Action::Redact);
    }

    #[test]
    fn wrong_settings_are_told() {
        for (settings, why) in [
            (r#"{"answer":"deny"}"#, "answer"),
            (r#"{"answers":"maybe"}"#, "maybe"),
            (r#"{"patterns":{"x":"("}}"#, "patterns.x"),
            ("[]", "settings"),
        ] {
            let error = Settings::read(settings).err().unwrap_or_else(|| panic!("{settings}"));
            assert!(error.contains(why), "{error}");
        }
    }
}
