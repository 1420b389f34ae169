//! Pages by which people connect accounts at servers elsewhere, and what callers are told of theirs.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header},
};
use serde::Serialize;
use url::{Url, form_urlencoded};

use super::{admission::Admission, answer};
use crate::{
    credentials::accounts::{AccountStatus, Chosen, Departure, People},
    mcp::Front,
    provider::{Principal, shown},
    telemetry::audit::{Arguments, Audit, End, Facts, cut},
};

/// What callers ask about their accounts.
pub(super) const ACCOUNTS_PATH: &str = "/oauth-accounts";
/// All accounts, for who may use everything.
pub(super) const ALL_PATH: &str = "/oauth-accounts/all";
/// What the browser keeps from the first page to the last.
const COOKIE: &str = "toolbay-connect";
/// How long it keeps that, in seconds: as long as a link is good.
const KEEP: u64 = 1800;

/// Who is an operator: without roles nobody is told apart, and so nobody is.
const OPERATORS: &str = "callers who may use all there is, where not everybody may";
const WHO_OPERATES: &str = "give your token a role with servers = [\"*\"], and others other roles; /oauth-accounts?server=NAME says what you have connected yourself";

/// What the pages need.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) admission: Arc<Admission>,
    pub(super) front: Option<Arc<Front>>,
    pub(super) audit: Option<Arc<Audit>>,
}

#[derive(Serialize)]
struct Status<'a> {
    server: &'a str,
    connected: bool,
    /// Where it is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Serialize)]
struct All {
    accounts: Vec<AccountStatus>,
}

/// The page behind a link: says whose account is connected where, before anybody is sent anywhere.
pub(super) async fn start(State(desk): State<Desk>, uri: Uri) -> Response<Body> {
    let state = parameter(&uri, "state").unwrap_or_default();
    let Some(people) = desk.linked(&state) else { return wrong("The link was not made here, or was changed.") };
    let Departure { subject, server, url, browser } = match people.depart(&state).await {
        Ok(departure) => departure,
        Err(why) => return wrong(&sentence(&why)),
    };
    let host = Url::parse(&url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let page = format!(
        "<h1>Connect an account at {server}</h1><p>The account will be used for <strong>{}</strong>, and for nobody else. Go on only if this is you, and \
         if you asked for it just now.</p><p><a href=\"{}\" rel=\"noreferrer\">Continue to {}</a></p>",
        escaped(&legible(&subject)),
        escaped(&url),
        escaped(&host)
    );
    let secure = if desk.is_https() { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={browser}; Path=/; Max-Age={KEEP}; HttpOnly; SameSite=Lax{secure}");
    let response = html(StatusCode::OK, &page);
    match HeaderValue::try_from(cookie) {
        Ok(cookie) => answer::with(response, header::SET_COOKIE, cookie),
        Err(_) => wrong("The host cannot make a cookie."),
    }
}

/// Where the authorization server sends people back to.
pub(super) async fn callback(State(desk): State<Desk>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let state = parameter(&uri, "state").unwrap_or_default();
    let Some(people) = desk.linked(&state) else { return wrong("The link was not made here, or was changed.") };
    if let Some(error) = parameter(&uri, "error") {
        let said = parameter(&uri, "error_description").map(|text| format!(" ({text})")).unwrap_or_default();
        let said = shown(&format!("{error}{said}"), 200);
        return wrong(&format!("The account was not connected: {said}."));
    }
    let Some(code) = parameter(&uri, "code") else { return wrong("The authorization server sent no code.") };
    let browser = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let browser = browser.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value);
    match people.arrive(&state, &code, parameter(&uri, "iss").as_deref(), browser).await {
        Ok(()) => html(StatusCode::OK, "<h1>Connected</h1><p>You can close this page and go on where you were.</p>"),
        Err(why) => {
            tracing::warn!("an account was not connected: {why}");
            wrong(&sentence(&why))
        }
    }
}

/// GET: whether the caller has an account at a server, and where it is connected. DELETE: disconnects it.
pub(super) async fn accounts(
    State(desk): State<Desk>,
    principal: Option<Extension<Principal>>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    let server = parameter(&uri, "server").unwrap_or_default();
    let people = desk.admission.settings().accounts().and_then(|accounts| accounts.of(&server));
    let shown = desk.front.as_ref().is_none_or(|front| {
        // A server that offers nothing yet is not among what a caller sees: those who may use everything know of it, and who is waited for.
        let is_waited_for = || people.as_ref().and_then(|people| people.lists_as()) == principal.as_deref().map(Principal::subject);
        front.seen(principal.as_deref()).shows(&server)
            || desk.admission.settings().sees_everything(principal.as_deref())
            || principal.is_some() && is_waited_for()
    });
    let (Some(people), Some(Extension(principal))) = (people.filter(|_| shown), principal) else {
        let error = format!("there is no server {:?} with accounts that you may use", answer::echo(&server));
        return answer::problem(StatusCode::NOT_FOUND, &error, "/oauth-accounts?server=NAME");
    };
    let whose = parameter(&uri, "subject").unwrap_or_else(|| principal.subject().to_owned());
    if whose != principal.subject() && !desk.admission.settings().is_operator(Some(&principal)) {
        desk.note(&method, Some(principal.subject()), Chosen { server: Some(&server), subject: Some(&whose) }, "denied");
        return answer::problem(StatusCode::FORBIDDEN, &format!("the account is somebody else's, and {OPERATORS}"), WHO_OPERATES);
    }
    let done = if method == Method::DELETE {
        let revoked = people.revoke(&whose).await;
        desk.note(&method, Some(principal.subject()), Chosen { server: Some(&server), subject: Some(&whose) }, outcome(revoked.is_ok()));
        revoked.map(|_| Status { server: &server, connected: false, url: None })
    } else {
        people.is_connected(&whose).await.and_then(|connected| {
            // A link is for whoever asks for it.
            let url = (!connected && whose == principal.subject()).then(|| people.link(&whose)).transpose()?;
            Ok(Status { server: &server, connected, url })
        })
    };
    match done {
        Ok(status) => answer::json(StatusCode::OK, &status),
        Err(why) => answer::problem(StatusCode::SERVICE_UNAVAILABLE, &why, "see the server's log"),
    }
}

/// GET: the accounts that are kept, of `server`, of `subject` or all. DELETE: disconnects these; all of them only with `all=true`. For operators.
pub(super) async fn all(State(desk): State<Desk>, principal: Option<Extension<Principal>>, method: Method, uri: Uri) -> Response<Body> {
    let settings = desk.admission.settings();
    let (server, subject) = (parameter(&uri, "server"), parameter(&uri, "subject"));
    let chosen = Chosen { server: server.as_deref(), subject: subject.as_deref() };
    let Some(Extension(principal)) = principal.as_ref().filter(|principal| settings.is_operator(Some(principal))) else {
        desk.note(&method, principal.as_deref().map(Principal::subject), chosen, "denied");
        return answer::problem(
            StatusCode::FORBIDDEN,
            &format!("the accounts of all callers are for operators: {OPERATORS}"),
            WHO_OPERATES,
        );
    };
    let Some(accounts) = settings.accounts() else { return answer::json(StatusCode::OK, &All { accounts: Vec::new() }) };
    let done = if method == Method::DELETE {
        if server.is_none() && subject.is_none() && parameter(&uri, "all").as_deref() != Some("true") {
            let hint = "/oauth-accounts/all?server=NAME, ?subject=NAME, both, or ?all=true for every account";
            return answer::problem(StatusCode::BAD_REQUEST, "it is not said which accounts are to be disconnected", hint);
        }
        let revoked = accounts.revoke(chosen).await.inspect(|revoked| {
            let (by, count) = (principal.subject(), revoked.len());
            tracing::info!(by, server, subject, count, "accounts of callers at servers were disconnected by an operator");
        });
        desk.note(&method, Some(principal.subject()), chosen, outcome(revoked.is_ok()));
        revoked
    } else {
        accounts.list(chosen).await
    };
    match done {
        Ok(accounts) => answer::json(StatusCode::OK, &All { accounts }),
        Err(why) => answer::problem(StatusCode::SERVICE_UNAVAILABLE, &why, "see the server's log"),
    }
}

impl Desk {
    fn linked(&self, state: &str) -> Option<Arc<People>> {
        self.admission.settings().accounts()?.linked(state)
    }

    fn is_https(&self) -> bool {
        self.admission.is_https()
    }

    /// Has the audit know who disconnected accounts, or was not let do what is about those of others.
    fn note(&self, method: &Method, caller: Option<&str>, chosen: Chosen<'_>, outcome: &'static str) {
        let Some(audit) = &self.audit else { return };
        let facts = Facts {
            event: "accounts",
            caller,
            front: "http",
            operation: Some(if *method == Method::DELETE { "revoke" } else { "list" }),
            provider: chosen.server.map(cut),
            name: chosen.subject.map(cut),
            ..Facts::default()
        };
        audit.write(&facts, Arguments::default(), &End { outcome, error: (outcome != "ok").then_some(outcome), took: None });
    }
}

fn outcome(is_done: bool) -> &'static str {
    if is_done { "ok" } else { "internal" }
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn sentence(why: &str) -> String {
    let mut chars = why.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

fn wrong(why: &str) -> Response<Body> {
    html(StatusCode::BAD_REQUEST, &format!("<h1>That did not work</h1><p>{}</p>", escaped(why)))
}

/// A page without scripts, styles and pictures.
fn html(status: StatusCode, body: &str) -> Response<Body> {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Toolbay</title></head><body>{body}</body></html>"
    );
    let mut response = answer::text(status, page);
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A name with the characters written out that nobody sees, so that it does not pass for another's.
fn legible(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '\'' | '"' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_markup() {
        assert_eq!(escaped("<a href=\"x\" b='y'>&amp;"), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
        assert_eq!(escaped("main:ann"), "main:ann");
    }

    #[test]
    fn a_name_does_not_pass_for_another() {
        for name in ["main:ann", "corp:Ann O'Brien <ann@example.com>", "corp:José", "corp:安"] {
            assert_eq!(legible(name), name);
        }
        for name in ["main:ann\u{200b}", "main:\u{202e}nna", "main:an\u{ad}n", "main:ann\u{2003}x", "main:a\u{301}nn"] {
            assert!(legible(name).is_ascii(), "{}", legible(name));
        }
    }

    #[test]
    fn a_query_is_read_once() {
        let uri: Uri = "/oauth-callback?state=a%2Eb&code=c+d&state=other".parse().unwrap();
        assert_eq!((parameter(&uri, "state").as_deref(), parameter(&uri, "code").as_deref()), (Some("a.b"), Some("c d")));
        assert_eq!(parameter(&"/x".parse().unwrap(), "state"), None);
    }
}
