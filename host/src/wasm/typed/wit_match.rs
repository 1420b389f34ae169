//! Whether WIT files are those that a component was built from, by the functions that both export.

use wasmparser::{
    BinaryReader, ComponentExportSectionReader, Validator, WasmFeatures,
    component_types::{ComponentEntityType, ComponentFuncType},
};
use wit_parser::{Function, Resolve, Stability, World, WorldItem};

use super::{
    embed::{EmbedError, sections},
    is_for_the_host, is_left_by_build,
};

/// The section of a component that lists its exports.
const EXPORTS: u8 = 11;

/// An exported function, as far as it is compared.
struct Exported {
    interface: Option<String>,
    name: String,
    params: Vec<String>,
    has_result: bool,
    /// A build may have left it out.
    is_optional: bool,
}

impl Exported {
    fn label(&self) -> String {
        match &self.interface {
            Some(interface) => format!("the function {:?} of {interface}", self.name),
            None => format!("the function {:?}", self.name),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.interface == other.interface && self.name == other.name
    }
}

/// What is different between the component and the nearest of these worlds. None: nothing, or there is no world to compare with.
pub(super) fn difference(component: &[u8], resolve: &Resolve, worlds: &[&World]) -> Result<Option<String>, EmbedError> {
    let built = of_component(component)?;
    let mut nearest: Option<(usize, String)> = None;
    for world in worlds {
        let written = of_world(resolve, world);
        let Some(difference) = first_difference(&world.name, &written, &built) else { return Ok(None) };
        let same = written.iter().filter(|function| built.iter().any(|other| other.is(function))).count();
        if nearest.as_ref().is_none_or(|(best, _)| same > *best) {
            nearest = Some((same, difference));
        }
    }
    Ok(nearest.map(|(_, difference)| difference))
}

fn first_difference(world: &str, written: &[Exported], built: &[Exported]) -> Option<String> {
    for function in written {
        let label = function.label();
        let Some(other) = built.iter().find(|other| other.is(function)) else {
            if function.is_optional {
                continue;
            }
            return Some(format!("the world {world:?} exports {label}, and the component does not"));
        };
        if function.params != other.params {
            let (written, built) = (function.params.join(", "), other.params.join(", "));
            return Some(format!("{label} takes ({written}) in the world {world:?}, and ({built}) in the component"));
        }
        if function.has_result != other.has_result {
            let [written, built] = [function, other].map(|function| if function.has_result { "a result" } else { "none" });
            return Some(format!("{label} has {written} in the world {world:?}, and {built} in the component"));
        }
    }
    let more = built.iter().find(|function| !written.iter().any(|other| other.is(function)))?;
    Some(format!("the component exports {}, and the world {world:?} does not", more.label()))
}

fn of_world(resolve: &Resolve, world: &World) -> Vec<Exported> {
    let mut found = Vec::new();
    let mut add = |interface: Option<&str>, function: &Function, around: &Stability| {
        let is_unstable = |stability: &Stability| matches!(stability, Stability::Unstable { .. });
        found.push(Exported {
            interface: interface.map(str::to_owned),
            name: function.name.clone(),
            params: function.params.iter().map(|param| param.name.clone()).collect(),
            has_result: function.result.is_some(),
            is_optional: is_unstable(&function.stability) || is_unstable(around),
        });
    };
    for (key, item) in &world.exports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Function(function) if is_left_by_build(&function.name, function.params.iter().map(|param| param.name.as_str())) => {}
            WorldItem::Function(function) => add(None, function, &function.stability),
            WorldItem::Interface { id, stability, .. } if !is_for_the_host(&name) => {
                let functions = resolve.interfaces.get(*id).into_iter().flat_map(|interface| interface.functions.values());
                functions.for_each(|function| add(Some(&name), function, stability));
            }
            WorldItem::Interface { .. } | WorldItem::Type { .. } => {}
        }
    }
    found
}

fn of_component(component: &[u8]) -> Result<Vec<Exported>, EmbedError> {
    let broken = |error: wasmparser::BinaryReaderError| EmbedError::NotAComponent(error.to_string());
    let types = Validator::new_with_features(WasmFeatures::all()).validate_all(component).map_err(broken)?;
    let types = types.as_ref();
    let mut found = Vec::new();
    let mut add = |interface: Option<&str>, name: &str, ty: &ComponentFuncType| {
        let params: Vec<String> = ty.params.iter().map(|(name, _)| name.to_string()).collect();
        // What componentize-py leaves behind: see `is_left_over`.
        if interface == Some("exports") && name == "init" && params.iter().any(|param| param == "stub-wasi") {
            return;
        }
        if interface.is_none() && is_left_by_build(name, params.iter().map(String::as_str)) {
            return;
        }
        let has_result = ty.result.is_some();
        found.push(Exported { interface: interface.map(str::to_owned), name: name.to_owned(), params, has_result, is_optional: false });
    };
    for section in sections(component) {
        let section = section?;
        if section.id != EXPORTS {
            continue;
        }
        for export in ComponentExportSectionReader::new(BinaryReader::new(section.body, 0)).map_err(broken)? {
            let name = export.map_err(broken)?.name.name;
            match types.component_item_for_export(name).map(|item| item.ty) {
                Some(ComponentEntityType::Func(id)) => types.get(id).into_iter().for_each(|ty| add(None, name, ty)),
                Some(ComponentEntityType::Instance(id)) if !is_for_the_host(name) => {
                    for (function, item) in types.get(id).into_iter().flat_map(|instance| &instance.exports) {
                        if let ComponentEntityType::Func(id) = item.ty
                            && let Some(ty) = types.get(id)
                        {
                            add(Some(name), function, ty);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(found)
}
