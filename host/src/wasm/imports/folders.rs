//! Files: what a plugin may not open is told with the line that would let it.
//!
//! A program looks for the granted folder that holds a path by itself, and gives up before the host hears of it where there is none. So that the host does,
//! a plugin that asks for its folders is given one more, `/`, which is empty and stays so: nothing of the host is below it.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    sync::{Arc, LazyLock},
};

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{
    FsPerms,
    filesystem::{Descriptor, Dir, OpenMode, WasiFilesystemView},
    p2::bindings::filesystem::{
        preopens::Host,
        types::{
            DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor as _, MetadataHashValue, NewTimestamp, OpenFlags,
            PathFlags,
        },
    },
};

use super::files::{self, Refused};
use crate::{
    config::DirGrant,
    wasm::{instance::State, permissions::Refusal},
};

/// The interfaces as wasmtime-wasi links them. Plugins that import an older 0.2 get them too.
const TYPES: &str = "wasi:filesystem/types@0.2.12";
const PREOPENS: &str = "wasi:filesystem/preopens@0.2.12";

/// Characters of a path that are told.
const PATH: usize = 200;

/// A folder that is empty for ever: it was deleted while it was open, so nothing can be made in it. Made when a plugin first asks for
/// its folders; None where the host has no place for temporary folders.
static NOWHERE: LazyLock<Option<Dir>> = LazyLock::new(|| match nowhere() {
    Ok(folder) => Some(Dir::new(folder, FsPerms::ReadOnly, OpenMode::READ, false)),
    Err(error) => {
        tracing::warn!(%error, "cannot create an empty folder in {}: errors won't name the paths that plugins look for outside their folders", std::env::temp_dir().display());
        None
    }
});

fn nowhere() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("toolbay-{}-{:016x}", std::process::id(), rand()));
    DirBuilder::new().mode(0o700).create(&path)?;
    let folder = File::open(&path);
    std::fs::remove_dir(&path)?;
    folder
}

/// A number that nobody else has.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}

/// Whether a plugin with these folders has none that holds every path.
fn has_outside(dirs: &[DirGrant]) -> bool {
    !dirs.iter().any(|dir| matches!(dir.guest.trim_matches(['/', '.']), ""))
}

/// Whether this is the empty folder, and not just a look at itself.
fn is_outside(store: &mut StoreContextMut<'_, State>, folder: &Resource<Descriptor>, path: &str) -> bool {
    let Some(nowhere) = &*NOWHERE else { return false };
    path != "."
        && matches!(store.data_mut().filesystem().table.get(folder), Ok(Descriptor::Dir(dir)) if Arc::ptr_eq(&dir.dir, &nowhere.dir))
}

fn short(path: &str) -> String {
    path.chars().take(PATH).collect()
}

/// Whether CPython looks there by itself: for a module, in folders of the machine that it was built on, or for the lines of a traceback, in files that
/// never were any (`<frozen os>`, `<string>`). Nobody can grant these. Nor does anybody miss what `mimetypes` reads where it is there.
fn is_of_python(path: &str) -> bool {
    if path.rsplit('/').next() == Some("mime.types") {
        return true;
    }
    let first = path.split('/').next().unwrap_or_default();
    if path.split('/').any(|name| name.starts_with('<') && name.ends_with('>')) {
        return true;
    }
    matches!(first, "python" | "world" | "bundled") || (!first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Notes a path that no folder holds. `is_folder`: None where the plugin does not say what it looks for.
fn note_outside(store: &StoreContextMut<'_, State>, path: &str, is_folder: Option<bool>) {
    let state = store.data();
    let mut path = path;
    while let Some(rest) = ["../", "./", "/"].iter().find_map(|up| path.strip_prefix(up)) {
        path = rest;
    }
    let path = if path == ".." { "" } else { path };
    if path.is_empty() || (state.shared.is_python && is_of_python(path)) {
        return;
    }
    // A name with a dot in it is mostly a file's.
    let is_folder = is_folder.unwrap_or_else(|| !path.contains('.'));
    state.refusals.push(Refusal::outside(&state.shared.id, format!("/{}", short(path)), is_folder));
}

/// Opens a file or a folder, if the plugin may have one more.
async fn open_at(
    mut store: StoreContextMut<'_, State>,
    folder: Resource<Descriptor>,
    follow: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> wasmtime::Result<Result<Resource<Descriptor>, ErrorCode>> {
    if is_outside(&mut store, &folder, &path) {
        note_outside(&store, &path, Some(how.contains(OpenFlags::DIRECTORY)));
        return Ok(Err(ErrorCode::NoEntry));
    }
    let told = short(&path);
    let state = store.data_mut();
    let shared = Arc::clone(&state.shared);
    let refuse = |state: &State, refusal, code| {
        state.refusals.push(refusal);
        Ok(Err(code))
    };
    let Some(place) = state.files.place(&shared.open_files) else {
        return refuse(state, Refusal::files(&shared.id, told, shared.config.limits.open_files), ErrorCode::Quota);
    };
    let dir = match state.filesystem().table.get(&folder)? {
        Descriptor::Dir(dir) => dir.clone(),
        Descriptor::File(_) => return Ok(Err(ErrorCode::NotDirectory)),
    };
    let follows = follow.contains(PathFlags::SYMLINK_FOLLOW);
    match files::open(&dir, follows, path.clone(), how, flags).await {
        Ok(opened) => {
            state.files.keep(&opened, place);
            Ok(Ok(state.filesystem().table.push(opened)?))
        }
        Err(Refused::Special(what)) => refuse(state, Refusal::special(&shared.id, told, what), ErrorCode::NotPermitted),
        Err(Refused::Code(ErrorCode::NotPermitted)) => {
            refuse(state, Refusal::file(&shared.id, told, &shared.config.grants.dirs), ErrorCode::NotPermitted)
        }
        Err(Refused::Code(code)) => Ok(Err(code)),
        Err(Refused::Unsupported) => {
            let kind = state.filesystem().stat_at(Resource::new_borrow(folder.rep()), follow, path.clone()).await.map(|about| about.type_);
            let special =
                !matches!(kind, Err(_) | Ok(DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink));
            if special {
                return refuse(state, Refusal::special(&shared.id, told, "no file"), ErrorCode::NotPermitted);
            }
            let opened = match state.filesystem().open_at(folder, follow, path, how, flags).await {
                Ok(opened) => opened,
                Err(error) => return Ok(Err(error.downcast()?)),
            };
            let mut files = std::mem::take(&mut state.files);
            files.keep(state.filesystem().table.get(&opened)?, place);
            state.files = files;
            Ok(Ok(opened))
        }
    }
}

/// Passes a function on, and notes where it was not permitted. Nothing below the empty folder is passed on.
macro_rules! told {
    ($types:ident, $name:literal, $method:ident, $answer:ty, [$($folder:ident $path:ident),+], ($($argument:ident: $type:ty),*)) => {
        $types.func_wrap_async(
            $name,
            |mut store: StoreContextMut<'_, State>, ($($argument,)*): ($($type,)*)| {
                Box::new(async move {
                    $(
                        if is_outside(&mut store, &$folder, &$path) {
                            note_outside(&store, &$path, None);
                            return Ok((Err(ErrorCode::NoEntry),));
                        }
                    )+
                    let told = [$(short(&$path)),+].into_iter().next().unwrap_or_default();
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

/// Gives the empty folder to those who ask for theirs, and notes refusals of all functions that take a path.
///
/// # Errors
///
/// Where a linker does not take them: a fault in this program.
pub(crate) fn tell_refusals(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Folder = Resource<Descriptor>;
    linker.allow_shadowing(true);
    linker.instance(PREOPENS)?.func_wrap("get-directories", |mut store: StoreContextMut<'_, State>, ()| {
        let has_outside = has_outside(&store.data().shared.config.grants.dirs);
        let mut files = store.data_mut().filesystem();
        let mut folders = Host::get_directories(&mut files)?;
        if has_outside && let Some(nowhere) = &*NOWHERE {
            folders.push((files.table.push(Descriptor::Dir(nowhere.clone()))?, "/".to_owned()));
        }
        Ok((folders,))
    })?;
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |store: StoreContextMut<'_, State>, (folder, follow, path, how, flags): (Folder, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::new(async move { open_at(store, folder, follow, path, how, flags).await.map(|opened| (opened,)) })
                as Box<dyn Future<Output = wasmtime::Result<(Result<Folder, ErrorCode>,)>> + Send>
        },
    )?;
    told!(types, "[method]descriptor.stat-at", stat_at, DescriptorStat, [folder path], (folder: Folder, follow: PathFlags, path: String));
    told!(
        types, "[method]descriptor.metadata-hash-at", metadata_hash_at, MetadataHashValue, [folder path],
        (folder: Folder, follow: PathFlags, path: String)
    );
    told!(types, "[method]descriptor.readlink-at", readlink_at, String, [folder path], (folder: Folder, path: String));
    told!(
        types, "[method]descriptor.set-times-at", set_times_at, (), [folder path],
        (folder: Folder, follow: PathFlags, path: String, read: NewTimestamp, written: NewTimestamp)
    );
    told!(types, "[method]descriptor.create-directory-at", create_directory_at, (), [folder path], (folder: Folder, path: String));
    told!(types, "[method]descriptor.unlink-file-at", unlink_file_at, (), [folder path], (folder: Folder, path: String));
    told!(types, "[method]descriptor.remove-directory-at", remove_directory_at, (), [folder path], (folder: Folder, path: String));
    told!(types, "[method]descriptor.symlink-at", symlink_at, (), [folder path], (folder: Folder, target: String, path: String));
    told!(
        types, "[method]descriptor.rename-at", rename_at, (), [folder path, to to_path],
        (folder: Folder, path: String, to: Folder, to_path: String)
    );
    told!(
        types, "[method]descriptor.link-at", link_at, (), [folder path, to to_path],
        (folder: Folder, follow: PathFlags, path: String, to: Folder, to_path: String)
    );
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nowhere_is_empty_and_nothing_can_be_made_in_it() {
        use rustix::fs::{Mode, OFlags, openat};
        let nowhere = nowhere().unwrap();
        assert!(openat(&nowhere, "x", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).is_err());
        assert!(openat(&nowhere, "etc", OFlags::RDONLY, Mode::empty()).is_err());
    }

    #[test]
    fn only_pythons_own_folders_are_its_own() {
        for path in
            ["python/lib/python314.zip", "world", "bundled", "0/app.py", "12", "<frozen os>", "<string>", "data/<stdin>", "etc/mime.types"]
        {
            assert!(is_of_python(path), "{path}");
        }
        for path in ["", "data/x", "pythons", "0a/x", "worlds/bundled", "<x>.txt", "a<b>", "<", ">"] {
            assert!(!is_of_python(path), "{path}");
        }
    }

    #[test]
    fn a_plugin_that_has_the_root_has_nothing_outside() {
        let dir = |guest: &str| DirGrant { host: "/x".into(), guest: guest.to_owned(), write: false };
        assert!(has_outside(&[]) && has_outside(&[dir("/data"), dir("/a.b/.c")]));
        assert!(!has_outside(&[dir("/data"), dir("/")]) && !has_outside(&[dir("/.")]));
    }
}
