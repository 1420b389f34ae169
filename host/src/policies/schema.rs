//! The schema that policies are validated against.

use std::fmt::Write as _;

use super::{
    declared::Declared,
    kind::{Kind, quoted},
};

const HEAD: &str = "\
// The schema of this host's policies, made by `toolbay schema --policy`.

// Claims of callers, by [policy.claims]. Any may be absent, so test with `has` first.
type Claims = ";

const BODY: &str = "\
// [role.NAME], and roles that tokens bring.
entity Role;

// A plugin or a server, by its name.
entity Server;

// Who calls. Its id is its subject, and empty for callers without a name.
entity Caller in [Role] {
    // The name of a token of [auth.tokens], or NAME:SUBJECT for a token of [auth.issuer.NAME].
    subject?: String,
    // The NAME of [auth.issuer.NAME].
    issuer?: String,
    scopes: Set<String>,
    claims: Claims,
};

// A tool. Its id is SERVER__NAME. Hints that it does not give are as MCP has them.
entity Tool in [Server] {
    name: String,
    server: String,
    readOnlyHint: Bool,
    destructiveHint: Bool,
    idempotentHint: Bool,
    openWorldHint: Bool,
};

// A resource, or one that a template makes. Its id is toolbay://SERVER/URI.
entity Resource in [Server] {
    uri: String,
    server: String,
};

// A prompt. Its id is SERVER__NAME.
entity Prompt in [Server] {
    name: String,
    server: String,
};

// When: in UTC; the weekday is 1 for Monday to 7 for Sunday. And from where: the address of the caller's connection, which behind a
// balancer is the balancer's. It is absent where a call comes by no connection, so test with `has` first.
type Moment = { time: datetime, weekday: Long, address?: ipaddr };
type CallContext = { time: datetime, weekday: Long, address?: ipaddr, arguments: Arguments };

// To call, to read or to get.
action \"use\";
action call in [\"use\"] appliesTo { principal: [Caller], resource: [Tool], context: CallContext };
action read in [\"use\"] appliesTo { principal: [Caller], resource: [Resource], context: Moment };
action get in [\"use\"] appliesTo { principal: [Caller], resource: [Prompt], context: Moment };
// To be shown in lists. What may be used is listed, unless a policy forbids it.
action list appliesTo { principal: [Caller], resource: [Tool, Resource, Prompt], context: Moment };
";

/// The schema in Cedar's own syntax.
#[must_use]
pub fn text(declared: &Declared) -> String {
    let mut text = HEAD.to_owned();
    record(&mut text, &declared.claims);
    text.push_str("\n// Arguments of calls, by [policy.arguments]. Any may be absent, so test with `has` first.\ntype Arguments = ");
    record(&mut text, &declared.arguments);
    text.push('\n');
    text.push_str(BODY);
    text
}

fn record(text: &mut String, members: &std::collections::BTreeMap<String, Kind>) {
    text.push('{');
    for (name, kind) in members {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n    {}?: {kind},", quoted(name));
    }
    text.push_str(if members.is_empty() { "};\n" } else { "\n};\n" });
}
