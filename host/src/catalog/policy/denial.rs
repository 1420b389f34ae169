//! Calls that policies decide on by what they are: their arguments, their address, the time.

use super::{
    access::forms,
    item::{prompt_item, tool_item},
};
use crate::{
    catalog::Entry,
    policies::{Action, Bound, Denial, Item, Moment, Ruling, Verdict},
};

/// What a call does, by its provider's own names.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// A tool is called with these arguments, which are JSON text.
    Call(&'a str),
    /// The resource at this address is read.
    Read(&'a str),
    /// The prompt of this name is filled in.
    Get(&'a str),
}

/// Why a caller may not make a call. None: it may. `entry`: of a tool that is called.
#[must_use]
pub fn denial(bound: &Bound, server: &str, entry: Option<&Entry>, asked: Asked<'_>, moment: Moment) -> Option<Denial> {
    let of = |action, item: &Item<'_>, arguments: &str| match bound.verdict(action, item, arguments, moment) {
        Verdict::Denied(denial) => Some(denial),
        Verdict::Allowed => None,
    };
    match asked {
        Asked::Call(arguments) => of(Action::Call, &tool_item(entry?), arguments),
        Asked::Get(name) => of(Action::Get, &prompt_item(server, name), "{}"),
        Asked::Read(uri) => {
            let (uri, plain) = forms(uri).unwrap_or((uri, None));
            [Some(uri), plain.as_deref()].into_iter().flatten().find_map(|uri| {
                let item = Item::Resource { server, uri };
                // The page of a tool comes with it, where policies only do not permit it: what no call changes was decided before.
                let is_open = || matches!(bound.ruling(Action::Read, &item), Ruling::EachCall(_));
                of(Action::Read, &item, "{}").filter(|denial| denial.by.is_some() || is_open())
            })
        }
    }
}
