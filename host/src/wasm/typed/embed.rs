//! Puts WIT doc comments into a component, for build tools that leave them out: all that we know of.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use wasmparser::BinaryReader;
use wit_parser::{PackageId, PackageMetadata, Resolve, TypeDef, TypeDefKind, WorldId, WorldItem};

use super::{docs::OWN_SECTION, types::Kind, wit_match};

/// Why docs could not be put into a component.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// Not a component, or one that is cut off.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The WIT files.
    #[error("the WIT files in {path} cannot be read: {reason}", path = path.display())]
    Wit {
        /// Folder or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The world.
    #[error("there is no world {world:?} in {path}: {reason}", path = path.display())]
    World {
        /// Its name.
        world: String,
        /// Folder or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The WIT files of something else.
    #[error("the WIT files in {path} are not those that this component was built from: {difference}", path = path.display())]
    Misfit {
        /// Folder or file.
        path: PathBuf,
        /// The first difference.
        difference: String,
    },
    /// No docs.
    #[error("the WIT files in {path} have no doc comments: write them as `/// text` above functions, types and fields", path = path.display())]
    NoDocs {
        /// Folder or file.
        path: PathBuf,
    },
}

/// Puts the doc comments of WIT files into a component: `wit` is a folder as `wit-bindgen` takes it (with packages of others in `deps`), or one file.
/// Docs that are there already are replaced. Without `world`, those of all worlds are put in, and the host sees from the exports which it is: one of them has to
/// export the functions that the component does.
///
/// # Errors
///
/// [`EmbedError`], with the file and what is wrong with it.
pub fn embed(component: &[u8], wit: &Path, world: Option<&str>) -> Result<Vec<u8>, EmbedError> {
    let files = Files::read(wit, world)?;
    let metadata = files.metadata()?;
    let mut out = component.get(..HEADER.len()).unwrap_or_default().to_vec();
    for section in sections(component) {
        let section = section?;
        if section.custom(OWN_SECTION).is_none() {
            out.extend_from_slice(section.whole);
        }
    }
    files.check(component)?;
    let mut body = Vec::new();
    leb128(OWN_SECTION.len(), &mut body);
    body.extend_from_slice(OWN_SECTION.as_bytes());
    body.extend_from_slice(&metadata);
    out.push(0);
    leb128(body.len(), &mut out);
    out.extend_from_slice(&body);
    Ok(out)
}

/// WIT files that were read.
struct Files<'p> {
    path: &'p Path,
    resolve: Resolve,
    /// The package that they are about.
    main: PackageId,
    /// The world that was asked for.
    world: Option<WorldId>,
}

impl<'p> Files<'p> {
    fn read(path: &'p Path, world: Option<&str>) -> Result<Self, EmbedError> {
        let mut resolve = Resolve { all_features: true, ..Resolve::default() };
        let pushed = resolve.push_path(path);
        let (mut main, _) = pushed
            .map_err(|error| EmbedError::Wit { path: path.to_owned(), reason: resolve.render_error(&error).trim_end().to_owned() })?;
        let mut asked = None;
        if let Some(name) = world {
            let world_error = |reason: String| EmbedError::World { world: name.to_owned(), path: path.to_owned(), reason };
            let id = resolve.select_world(&[main], Some(name)).map_err(|error| world_error(format!("{error:#}")))?;
            let world = resolve.worlds.get(id).ok_or_else(|| world_error("it is in no package".into()))?;
            main = world.package.unwrap_or(main);
            asked = Some(id);
        }
        Ok(Self { path, resolve, main, world: asked })
    }

    /// Refuses a component that was built from other files: its tools would be described as something else.
    fn check(&self, component: &[u8]) -> Result<(), EmbedError> {
        let all = self.resolve.packages.get(self.main).into_iter().flat_map(|package| package.worlds.values().copied());
        let worlds: Vec<_> = match self.world {
            Some(world) => vec![world],
            None => all.collect(),
        };
        let worlds: Vec<_> = worlds.into_iter().filter_map(|world| self.resolve.worlds.get(world)).collect();
        match wit_match::difference(component, &self.resolve, &worlds)? {
            Some(difference) => Err(EmbedError::Misfit { path: self.path.to_owned(), difference }),
            None => Ok(()),
        }
    }

    /// What goes into the section.
    fn metadata(&self) -> Result<Vec<u8>, EmbedError> {
        let (resolve, path, main) = (&self.resolve, self.path, self.main);
        let wit_error = |reason: String| EmbedError::Wit { path: path.to_owned(), reason };
        let read = |package: PackageId| -> Result<Map<String, Value>, EmbedError> {
            let bytes = PackageMetadata::extract(resolve, package).encode().map_err(|error| wit_error(format!("{error:#}")))?;
            serde_json::from_slice(bytes.get(1..).unwrap_or_default()).map_err(|error| wit_error(error.to_string()))
        };
        let mut docs = read(main)?;
        for (name, world) in resolve.packages.get(main).into_iter().flat_map(|package| &package.worlds) {
            let types = resolve.worlds.get(*world).map(|world| world.imports.values()).into_iter().flatten();
            for ty in types.filter_map(|item| if let WorldItem::Type { id, .. } = item { resolve.types.get(*id) } else { None }) {
                say_what_is_in(ty, docs.get_mut("worlds").and_then(|worlds| worlds.get_mut(name)?.get_mut("types")));
            }
        }
        let keep = self.world.and_then(|world| resolve.worlds.get(world));
        if let (Some(keep), Some(Value::Object(worlds))) = (keep, docs.get_mut("worlds")) {
            worlds.retain(|name, _| *name == keep.name);
        }
        let mut interfaces = match docs.shift_remove("interfaces") {
            Some(Value::Object(interfaces)) => interfaces,
            _ => Map::new(),
        };
        for (id, package) in resolve.packages.iter() {
            // What the host offers is described elsewhere, and never a tool.
            let offered = package.name.namespace == "wasi" || (package.name.namespace == "toolbay" && package.name.name == "plugin");
            if id == main || offered {
                continue;
            }
            if let Some(Value::Object(others)) = read(id)?.shift_remove("interfaces") {
                for (name, interface) in others {
                    interfaces.entry(name).or_insert(interface);
                }
            }
        }
        if !interfaces.is_empty() {
            docs.insert("interfaces".into(), interfaces.into());
        }
        let empty = |key: &str| docs.get(key).and_then(Value::as_object).is_none_or(Map::is_empty);
        if empty("interfaces") && empty("worlds") {
            return Err(EmbedError::NoDocs { path: path.to_owned() });
        }
        let mut bytes = vec![1];
        bytes.extend_from_slice(Value::Object(docs).to_string().as_bytes());
        Ok(bytes)
    }
}

/// Adds to the docs of a world's type what kind it is and which names are in it: how the host knows it again. What has no docs stays without.
fn say_what_is_in(ty: &TypeDef, docs: Option<&mut Value>) {
    let (kind, names): (_, Vec<&str>) = match &ty.kind {
        TypeDefKind::Record(record) => (Kind::Record, record.fields.iter().map(|field| &*field.name).collect()),
        TypeDefKind::Variant(variant) => (Kind::Variant, variant.cases.iter().map(|case| &*case.name).collect()),
        TypeDefKind::Enum(cases) => (Kind::Enum, cases.cases.iter().map(|case| &*case.name).collect()),
        TypeDefKind::Flags(flags) => (Kind::Flags, flags.flags.iter().map(|flag| &*flag.name).collect()),
        _ => return,
    };
    let Some(Value::Object(docs)) = ty.name.as_ref().zip(docs).and_then(|(name, docs)| docs.get_mut(name)) else { return };
    docs.insert("kind".into(), serde_json::to_value(kind).unwrap_or_default());
    docs.insert("names".into(), names.into());
}

/// Magic number, version and layer of a component.
const HEADER: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// One section of a component's outermost level.
pub(super) struct Section<'b> {
    pub(super) id: u8,
    whole: &'b [u8],
    pub(super) body: &'b [u8],
}

impl<'b> Section<'b> {
    /// What is in it, if it is a custom section of this name.
    pub(super) fn custom(&self, name: &str) -> Option<&'b [u8]> {
        let mut reader = BinaryReader::new(self.body, 0);
        (self.id == 0 && reader.read_string().ok()? == name).then(|| self.body.get(reader.original_position()..))?
    }
}

/// Goes through the outermost sections without looking into them.
pub(super) fn sections(component: &[u8]) -> impl Iterator<Item = Result<Section<'_>, EmbedError>> {
    let mut reader = BinaryReader::new(component, 0);
    let mut wrong = match reader.read_bytes(HEADER.len()) {
        Ok(header) if header == HEADER => None,
        Ok([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            Some("it is a core module; make a component of it with `wasm-tools component new`".to_owned())
        }
        _ => Some("it does not begin as one".to_owned()),
    };
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        if let Some(reason) = wrong.take() {
            done = true;
            return Some(Err(EmbedError::NotAComponent(reason)));
        }
        if reader.eof() {
            return None;
        }
        let start = reader.original_position();
        let mut next = || {
            let id = reader.read_u8()?;
            let size = reader.read_var_u32()?;
            let body = reader.read_bytes(size as usize)?;
            Ok(Section { id, whole: component.get(start..reader.original_position()).unwrap_or_default(), body })
        };
        let section = next().map_err(|error: wasmparser::BinaryReaderError| EmbedError::NotAComponent(error.to_string()));
        done = section.is_err();
        Some(section)
    })
}

fn leb128(mut value: usize, out: &mut Vec<u8>) {
    loop {
        // The lowest seven bits.
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
