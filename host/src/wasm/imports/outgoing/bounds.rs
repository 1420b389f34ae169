//! How long the parts of a request may be that wasi-http takes at any length: a plugin can hold a thousand requests and never send one.

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::{
        bindings::http::types::{HostOutgoingRequest as _, Method},
        types::HostOutgoingRequest,
    },
};

use crate::wasm::{instance::State, limits::WORD};

/// The interface as wasi-http links it. Plugins that import an older 0.2 get it too.
const TYPES: &str = "wasi:http/types@0.2.12";

type Set = wasmtime::Result<(Result<(), ()>,)>;

/// Puts limits before the functions that set a request's method and authority.
///
/// # Errors
///
/// Where a linker does not take them: a fault in this program.
pub(crate) fn bound_requests(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, State>, (request, method): (Resource<HostOutgoingRequest>, Method)| -> Set {
            if matches!(&method, Method::Other(name) if name.len() > WORD) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, State>, (request, authority): (Resource<HostOutgoingRequest>, Option<String>)| -> Set {
            if authority.as_ref().is_some_and(|authority| authority.len() > WORD) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
