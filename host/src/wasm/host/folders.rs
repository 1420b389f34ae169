//! Files: what a plugin may not open is told with the line that would let it.
//!
//! Only what reaches the host can be told. A program that looks for a path outside of all folders that it was given is refused by its own standard library.

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{
    filesystem::WasiFilesystemView,
    p2::bindings::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags},
};

use crate::wasm::{instance::State, permissions::Refusal};

/// The interface as wasmtime-wasi links it. Plugins that import an older 0.2 get it too.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

/// Characters of a path that are told.
const PATH: usize = 200;

/// Passes a function on, and notes where it was not permitted.
macro_rules! told {
    ($types:ident, $name:literal, $method:ident, $answer:ty, $path:ident, ($($argument:ident: $type:ty),*)) => {
        $types.func_wrap_async(
            $name,
            |mut store: StoreContextMut<'_, State>, ($($argument,)*): ($($type,)*)| {
                Box::new(async move {
                    let told: String = $path.chars().take(PATH).collect();
                    match store.data_mut().filesystem().$method($($argument),*).await {
                        Ok(answer) => Ok((Ok(answer),)),
                        Err(error) => {
                            let code = error.downcast()?;
                            if code == ErrorCode::NotPermitted {
                                let state = store.data();
                                state.refusals.push(Refusal::file(&state.shared.id, told, &state.shared.config.grants.dirs));
                            }
                            Ok((Err(code),))
                        }
                    }
                }) as Box<dyn Future<Output = wasmtime::Result<(Result<$answer, ErrorCode>,)>> + Send>
            },
        )?;
    };
}

/// Notes refusals of the functions that open, make and remove files and folders.
///
/// # Errors
///
/// Where a linker does not take them: a fault in this program.
pub(crate) fn tell_refusals(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Folder = Resource<Descriptor>;
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    told!(
        types, "[method]descriptor.open-at", open_at, Folder, path,
        (folder: Folder, follow: PathFlags, path: String, how: OpenFlags, flags: DescriptorFlags)
    );
    told!(types, "[method]descriptor.create-directory-at", create_directory_at, (), path, (folder: Folder, path: String));
    told!(types, "[method]descriptor.unlink-file-at", unlink_file_at, (), path, (folder: Folder, path: String));
    told!(types, "[method]descriptor.remove-directory-at", remove_directory_at, (), path, (folder: Folder, path: String));
    linker.allow_shadowing(false);
    Ok(())
}
