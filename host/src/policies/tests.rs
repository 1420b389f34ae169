//! Decisions of the whole, of its parts, and of plain Cedar over all policies at once.

use std::path::PathBuf;

use cedar_policy::{Authorizer, Decision, Entities, PolicySet, Request, Schema};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Action, Caller, Declared, Fault, Hints, Item, Kind, Moment, Policies, PolicyFile, Ruling, Verdict, item::uid, schema_text};
use crate::provider::Roles;

const READ: Hints = Hints { read_only: true, destructive: false, idempotent: true, open_world: false };
const WRITE: Hints = Hints { read_only: false, destructive: true, idempotent: false, open_world: true };
const MONDAY: &str = "2026-11-30T08:00:00Z";

fn declared() -> Declared {
    let kinds = |all: &[(&str, &str)]| all.iter().map(|(name, kind)| ((*name).to_owned(), Kind::parse(kind).unwrap())).collect();
    Declared {
        claims: kinds(&[("level", "Long"), ("groups", "Set<String>")]),
        arguments: kinds(&[("n", "Long"), ("path", "String"), ("to", "{ host: String }")]),
    }
}

fn parse(text: &str, permits: bool) -> Result<Policies, Vec<Fault>> {
    Policies::parse(&[PolicyFile { path: PathBuf::from("p.cedar"), text: text.to_owned() }], declared(), permits)
}

fn policies(text: &str) -> Policies {
    parse(text, false).unwrap_or_else(|faults| panic!("{faults:?}"))
}

struct Who {
    subject: Option<&'static str>,
    scopes: Vec<String>,
    claims: Map<String, Value>,
    roles: Roles,
}

impl Who {
    fn new(subject: Option<&'static str>, roles: &[&str], scopes: &[&str], claims: Value) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Self { subject, scopes, claims: claims.as_object().cloned().unwrap_or_default(), roles: Roles::new(roles.iter().copied()) }
    }

    fn caller(&self) -> Caller<'_> {
        Caller { subject: self.subject, issuer: None, scopes: &self.scopes, claims: &self.claims, roles: &self.roles }
    }
}

fn tool<'a>(name: &'a str, hints: Hints) -> Item<'a> {
    Item::Tool { server: "s", name, hints }
}

/// What becomes of a call in the end: by the view, and by the call where that matters.
fn decide(policies: &Policies, who: &Who, action: Action, item: &Item<'_>, arguments: &str, moment: Moment) -> bool {
    let bound = policies.bind(&who.caller());
    match bound.ruling(action, item) {
        Ruling::Denied(_) => false,
        Ruling::Allowed(_) | Ruling::EachCall(_) if policies.asks_each(action, item.server()) => {
            bound.verdict(action, item, arguments, moment) == Verdict::Allowed
        }
        Ruling::Allowed(_) => true,
        Ruling::EachCall(_) => panic!("nobody asks on each call of {item:?}"),
    }
}

#[test]
fn a_fault_is_told_with_its_place_and_what_is_expected() {
    for (text, line, words) in [
        ("permit(principal, action, resource);\npermit(principal, action resource);", 2, "expected"),
        ("permit(principal, action, resource) when { resource.readOnyl };", 1, "readOnyl"),
        ("forbid(principal, action == Action::\"call\", resource)\nwhen { context.arguments.n > 5 };", 2, "n"),
        ("permit(principal in Team::\"x\", action, resource);", 1, "Team"),
        ("permit(principal == ?principal, action, resource);", 1, "template"),
        ("@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);", 2, "twice"),
        ("permit(principal, action == Action::\"cal\", resource);", 1, "cal"),
        ("forbid(principal, action, resource) when { \"x\" };", 1, "Bool"),
    ] {
        let faults = parse(text, false).err().unwrap_or_else(|| panic!("accepted: {text}"));
        let fault = &faults[0];
        assert!(fault.message.contains(words), "{text}: {}", fault.message);
        assert_eq!(text[..fault.offset].matches('\n').count() + 1, line, "{text}: {fault:?}");
    }
    assert!(parse("permit(principal, action, resource) when { 1 + };\nforbid(", false).is_err());
    assert!(policies("").is_empty() && policies("// nothing\n").is_empty());
}

#[test]
fn arguments_and_time_are_decided_on_each_call_and_the_rest_once() {
    let policies = policies(
        r#"@id("read") permit(principal, action, resource is Tool) when { resource.readOnlyHint };
@id("write") permit(principal in Role::"w", action == Action::"call", resource)
  when { resource.destructiveHint && context.arguments has n && context.arguments.n <= 100 };
@id("night") @reason("writing rests at night") forbid(principal, action == Action::"call", resource)
  when { resource.destructiveHint && context.time.toTime() >= duration("22h") };"#,
    );
    let (writer, reader) = (Who::new(Some("ann"), &["w"], &[], json!({})), Who::new(Some("bob"), &[], &[], json!({})));
    assert_eq!(policies.facts(&writer.caller()), None, "nothing but roles is read");
    let ruling = |who: &Who, item: &Item<'_>| policies.bind(&who.caller()).ruling(Action::Call, item);
    assert_eq!(ruling(&reader, &tool("get", READ)), Ruling::Allowed("read".into()));
    assert_eq!(ruling(&reader, &tool("put", WRITE)), Ruling::Denied(None));
    assert_eq!(ruling(&writer, &tool("get", READ)), Ruling::Allowed("read".into()));
    assert_eq!(ruling(&writer, &tool("put", WRITE)), Ruling::EachCall(vec!["night".into(), "write".into()]));
    let verdict = |arguments: &str, time: &str| {
        policies.bind(&writer.caller()).verdict(Action::Call, &tool("put", WRITE), arguments, Moment::at(time))
    };
    assert_eq!(verdict(r#"{"n": 100}"#, MONDAY), Verdict::Allowed);
    for (arguments, time, by, words) in [
        (r#"{"n": 101}"#, MONDAY, None, "no policy permits this call with these arguments"),
        ("{}", MONDAY, None, "no policy permits"),
        (r#"{"n": 1}"#, "2026-11-30T22:00:00Z", Some("night"), "denied by policy \"night\": writing rests at night; nothing was done"),
        (r#"{"n": "1"}"#, MONDAY, None, "\"n\" is no Long"),
        (r#"{"n": 1, "n": 1000}"#, MONDAY, None, "twice"),
        ("[", MONDAY, None, "cannot be read"),
    ] {
        let Verdict::Denied(denial) = verdict(arguments, time) else { panic!("allowed: {arguments} {time}") };
        assert_eq!(denial.by.as_deref(), by, "{arguments}");
        assert!(denial.text.contains(words), "{}", denial.text);
    }
    // What no policy reads may be of any type.
    assert_eq!(verdict(r#"{"n": 1, "path": 5}"#, MONDAY), Verdict::Allowed);
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    let policies = policies(
        r#"permit(principal, action, resource);
@id("sum") forbid(principal, action == Action::"call", resource) when { context.arguments has n && context.arguments.n * 4 > 100 };"#,
    );
    let who = Who::new(None, &[], &[], json!({}));
    let verdict =
        |n: i64| policies.bind(&who.caller()).verdict(Action::Call, &tool("t", WRITE), &json!({ "n": n }).to_string(), Moment::at(MONDAY));
    assert_eq!(verdict(1), Verdict::Allowed);
    let Verdict::Denied(denial) = verdict(i64::MAX) else { panic!("allowed") };
    assert_eq!(denial.by.as_deref(), Some("sum"));
    assert!(denial.text.contains("could not be evaluated") && denial.fault.is_some_and(|fault| fault.contains("overflow")));
}

#[test]
fn what_may_be_used_is_listed_unless_that_is_forbidden() {
    let policies = policies(
        r#"permit(principal, action == Action::"call", resource);
@id("out of sight") forbid(principal, action == Action::"list", resource == Tool::"s__quiet");"#,
    );
    let bound = policies.bind(&Who::new(None, &[], &[], json!({})).caller());
    assert!(bound.ruling(Action::ListTool, &tool("loud", READ)).is_allowed());
    assert_eq!(bound.ruling(Action::ListTool, &tool("quiet", READ)), Ruling::Denied(Some("out of sight".into())));
    assert!(bound.ruling(Action::Call, &tool("quiet", READ)).is_allowed());
    assert!(bound.names_server("s") && !bound.is_everything());
    let all = policies_of_roles();
    let is_everything = |roles: &[&str]| all.bind(&Who::new(None, roles, &[], json!({})).caller()).is_everything();
    assert!(is_everything(&["root"]) && !is_everything(&["a"]) && !is_everything(&["root", "a"]) && !is_everything(&[]));
    let open = parse("forbid(principal, action, resource in Server::\"s\");", true).unwrap();
    let bound = open.bind(&Who::new(None, &[], &[], json!({})).caller());
    assert!(!bound.names_server("s") && bound.names_server("t"));
    assert_eq!(bound.ruling(Action::Read, &Item::Resource { server: "t", uri: "a:b" }), Ruling::Allowed("default".into()));
}

fn policies_of_roles() -> Policies {
    policies(
        "permit(principal in Role::\"root\", action, resource);\nforbid(principal in Role::\"a\", action, resource == Tool::\"s__x\");",
    )
}

#[test]
fn callers_are_told_apart_by_what_policies_read_of_them_and_by_nothing_else() {
    let ann = Who::new(Some("ann"), &["a"], &["x"], json!({ "level": 1, "secret": "s" }));
    let bob = Who::new(Some("bob"), &["a"], &["x"], json!({ "level": 1, "secret": "t" }));
    for (text, are_one) in [
        ("permit(principal in Role::\"a\", action, resource);", true),
        ("permit(principal, action, resource) when { principal in [Role::\"a\", Role::\"b\"] };", true),
        ("permit(principal, action, resource) when { principal is Caller in Role::\"a\" };", true),
        ("permit(principal, action, resource) when { principal.claims has level && principal.claims.level > 0 };", true),
        ("permit(principal, action, resource) when { principal.scopes.contains(\"x\") };", true),
        ("permit(principal == Caller::\"ann\", action, resource);", false),
        ("permit(principal, action, resource) when { principal == Caller::\"ann\" };", false),
        ("permit(principal, action, resource) when { principal has subject && principal.subject like \"a*\" };", false),
    ] {
        let policies = policies(text);
        assert_eq!(policies.facts(&ann.caller()) == policies.facts(&bob.caller()), are_one, "{text}");
    }
}

/// A scope, and conditions that are valid with it.
fn policy() -> impl Strategy<Value = String> {
    let effect = prop::sample::select(vec!["permit", "forbid"]);
    let principal = prop::sample::select(vec![
        "principal",
        "principal in Role::\"a\"",
        "principal in Role::\"b\"",
        "principal == Caller::\"ann\"",
        "principal is Caller in Role::\"a\"",
    ]);
    let scope = prop::sample::select(vec![
        ("action", "resource"),
        ("action", "resource in Server::\"s\""),
        ("action in Action::\"use\"", "resource"),
        ("action in Action::\"use\"", "resource is Tool in Server::\"t\""),
        ("action == Action::\"call\"", "resource"),
        ("action == Action::\"call\"", "resource == Tool::\"s__x\""),
        ("action == Action::\"list\"", "resource is Tool"),
        ("action in [Action::\"call\", Action::\"read\"]", "resource in Server::\"s\""),
        ("action == Action::\"read\"", "resource"),
    ]);
    let leaf = prop::sample::select(vec![
        ("resource.server == \"s\"", false),
        ("principal.scopes.contains(\"w\")", false),
        ("(principal has subject && principal.subject == \"ann\")", false),
        ("context.weekday == 1", false),
        ("context.time < datetime(\"2026-06-01\")", false),
        ("(principal.claims has level && principal.claims.level > 3)", false),
        ("principal in Role::\"b\"", false),
        ("(context.arguments has n && context.arguments.n > 5)", true),
        ("(context.arguments has path && context.arguments.path like \"/tmp/*\")", true),
        ("resource.readOnlyHint", true),
    ]);
    let condition = leaf.prop_map(|(text, of_call)| (text.to_owned(), of_call)).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone(), any::<bool>())
                .prop_map(|((a, x), (b, y), and)| (format!("({a} {} {b})", if and { "&&" } else { "||" }), x || y)),
            inner.prop_map(|(a, x)| (format!("!({a})"), x)),
        ]
    });
    let conditions = prop::collection::vec((condition, any::<bool>()), 0..3);
    (effect, principal, scope, conditions).prop_map(|(effect, principal, (action, resource), conditions)| {
        let is_call = action == "action == Action::\"call\"";
        let fits = conditions.into_iter().filter(|((_, of_call), _)| is_call || !of_call);
        let fits: String = fits.map(|((text, _), when)| format!(" {} {{ {text} }}", if when { "when" } else { "unless" })).collect();
        format!("{effect}({principal}, {action}, {resource}){fits};")
    })
}

/// What Cedar says of all policies at once, by entities and a request that its schema accepts.
fn plain(policies: &Policies, who: &Who, action: Action, item: &Item<'_>, arguments: &Value, moment: Moment) -> bool {
    thread_local! {
        static SCHEMA: Schema = Schema::from_cedarschema_str(&schema_text(&declared())).unwrap().0;
    }
    let set = &policies.set;
    let schema = SCHEMA.with(Schema::clone);
    let whole = PolicySet::from_policies(set.rules.iter().map(|rule| rule.policy.clone())).unwrap();
    let caller = who.caller();
    let mut entities = caller.entities(&set.types, &set.declared).unwrap();
    entities.push(item.entity(&set.types).unwrap());
    let entities = Entities::from_entities(entities, Some(&schema)).unwrap();
    let context = policies.bind(&caller).whole_context(action, &arguments.to_string(), moment);
    let action = uid(&set.types.action, action.name());
    let request = Request::new(caller.uid(&set.types), action, item.uid(&set.types), context, Some(&schema)).unwrap();
    let response = Authorizer::new().is_authorized(&request, &whole, &entities);
    assert_eq!(response.diagnostics().errors().count(), 0);
    response.decision() == Decision::Allow
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_decided_once_and_on_each_call_is_what_cedar_decides_on_all_policies(
        texts in prop::collection::vec(policy(), 1..8), permits in any::<bool>()
    ) {
        let accepted: Vec<String> = texts.into_iter().filter(|text| parse(text, permits).is_ok()).collect();
        let policies = parse(&accepted.join("\n"), permits).unwrap();
        let people = [
            Who::new(Some("ann"), &["a"], &["w"], json!({ "level": 5, "groups": ["x"] })),
            Who::new(Some("bob"), &["a", "b"], &[], json!({ "level": "no number" })),
            Who::new(None, &[], &["w"], json!({})),
        ];
        let items = [
            (Action::Call, tool("x", READ)),
            (Action::Call, tool("y", WRITE)),
            (Action::ListTool, tool("x", READ)),
            (Action::Call, Item::Tool { server: "t", name: "x", hints: WRITE }),
            (Action::Read, Item::Resource { server: "s", uri: "a:b" }),
            (Action::Get, Item::Prompt { server: "t", name: "p" }),
            (Action::ListPrompt, Item::Prompt { server: "t", name: "p" }),
        ];
        let moments = [MONDAY, "2026-05-05T12:00:00Z"];
        let arguments = [json!({}), json!({ "n": 6, "path": "/tmp/x" }), json!({ "n": 5, "path": "/etc", "to": { "host": "h" } })];
        for who in &people {
            for (action, item) in &items {
                let ruling = policies.bind(&who.caller()).ruling(*action, item);
                for moment in moments.map(Moment::at) {
                    for arguments in &arguments {
                        let whole = plain(&policies, who, *action, item, arguments, moment);
                        match &ruling {
                            Ruling::Allowed(by) => prop_assert!(whole, "{item:?} allowed by {by}: {accepted:?}"),
                            Ruling::Denied(by) => prop_assert!(!whole, "{item:?} denied by {by:?}: {accepted:?}"),
                            Ruling::EachCall(_) => {}
                        }
                        if action.name() != "list" {
                            let own = decide(&policies, who, *action, item, &arguments.to_string(), moment);
                            prop_assert_eq!(own, whole, "{:?} {:?} {}: {:?}", who.subject, item, arguments, accepted);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_policy_can_go_by_where_the_caller_is() {
    let text = r#"
        permit(principal, action, resource);
        @id("office") forbid(principal, action == Action::"call", resource)
        unless { context has address && (context.address.isInRange(ip("10.0.0.0/8")) || context.address.isInRange(ip("2001:db8::/32"))) };
    "#;
    let policies = policies(text);
    assert!(policies.reads_address());
    let (ann, item) = (Who::new(Some("ann"), &[], &[], json!({})), tool("t", READ));
    for (address, may) in [
        (Some("10.1.2.3"), true),
        (Some("::ffff:10.1.2.3"), true),
        (Some("2001:db8::7"), true),
        (Some("192.0.2.1"), false),
        (Some("::1"), false),
        // Whoever comes by no connection is nowhere.
        (None, false),
    ] {
        let moment = Moment::at(MONDAY).from_address(address.map(|address| address.parse().unwrap()));
        assert_eq!(decide(&policies, &ann, Action::Call, &item, "{}", moment), may, "{address:?}");
        assert!(decide(&policies, &ann, Action::Get, &Item::Prompt { server: "s", name: "p" }, "", moment), "{address:?}");
    }
    // One that may be absent is not read without a look whether it is there.
    let faults = parse("permit(principal, action, resource) when { context.address.isLoopback() };", false).unwrap_err();
    assert!(faults[0].message.contains("address"), "{faults:?}");
    for (text, reads) in [
        ("permit(principal, action, resource) when { context.weekday == 1 };", false),
        ("permit(principal, action, resource) when { context has time };", false),
        ("permit(principal, action, resource) when { context has address };", true),
        ("permit(principal, action, resource) when { principal has subject };", false),
    ] {
        assert_eq!(self::policies(text).reads_address(), reads, "{text}");
    }
}
