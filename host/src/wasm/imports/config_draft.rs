//! `wasi:config/store@0.2.0-draft`: the name that the interface had before 0.2.0-rc.1, which components for other hosts still import.

use wasmtime::component::{HasSelf, Linker};

use crate::wasm::instance::State;

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
    wasmtime::component::bindgen!({
        inline: "
            package wasi:config@0.2.0-draft;

            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }

            world imports { import store; }
        ",
        imports: { default: trappable },
    });
}

use bindings::wasi::config::store::{self, Error};

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl store::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(self.granted_variables().find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        Ok(Ok(self.granted_variables().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}
