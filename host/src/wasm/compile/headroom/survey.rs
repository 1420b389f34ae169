//! What there is in a component: its modules, what they do with memories, and how often each is instantiated.

use wasmparser::{
    BinaryReader, ComponentAlias, ComponentAliasSectionReader, ComponentExternalKind, ComponentImportSectionReader,
    ComponentOuterAliasKind, ComponentTypeRef, Instance, InstanceSectionReader, Operator, Parser, Payload, TypeRef,
};

use super::{MAXIMUM, PAGES};

/// Ids of sections, by the binary format of components.
pub(super) mod component_section {
    pub(crate) const CORE_MODULE: u8 = 1;
    pub(crate) const CORE_INSTANCE: u8 = 2;
    pub(crate) const COMPONENT: u8 = 4;
    pub(crate) const ALIAS: u8 = 6;
    pub(crate) const IMPORT: u8 = 10;
}

/// Bytes of magic number and version.
const HEADER: usize = 8;

/// Components within components, and modules, beyond which nothing is changed. Wasmtime takes no more than that.
const DEPTH: usize = 100;
const MODULES: usize = 1000;

/// A component and those within it.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// All of them, in the order in which they stand.
    pub(super) modules: Vec<Facts>,
    /// What is instantiated: by the number of the component that does it, and the index that the module has there.
    instantiated: Vec<(usize, u32)>,
    components: usize,
    /// A component gives a module to another one, so that it is not plain who instantiates it.
    pub(super) passes_modules: bool,
}

impl Survey {
    /// None: it is no component, and the compiler has the words for that.
    pub(super) fn of(component: &[u8]) -> Option<Self> {
        let mut survey = Self::default();
        survey.look(component, 0)?;
        Some(survey)
    }

    fn look(&mut self, component: &[u8], depth: usize) -> Option<()> {
        if depth > DEPTH || self.modules.len() > MODULES {
            return None;
        }
        let number = self.components;
        self.components += 1;
        let mut index = 0;
        for (id, content) in sections(component)? {
            let reader = BinaryReader::new(content, 0);
            match id {
                component_section::CORE_MODULE => {
                    self.modules.push(Facts { place: (number, index), ..Facts::of(content).ok()? });
                    index += 1;
                }
                component_section::COMPONENT => self.look(content, depth + 1)?,
                component_section::CORE_INSTANCE => {
                    for instance in InstanceSectionReader::new(reader).ok()? {
                        if let Instance::Instantiate { module_index, .. } = instance.ok()? {
                            self.instantiated.push((number, module_index));
                        }
                    }
                }
                component_section::ALIAS => {
                    for alias in ComponentAliasSectionReader::new(reader).ok()? {
                        self.passes_modules |= is_module(&alias.ok()?);
                    }
                }
                component_section::IMPORT => {
                    for import in ComponentImportSectionReader::new(reader).ok()? {
                        self.passes_modules |= matches!(import.ok()?.ty, ComponentTypeRef::Module(_));
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    /// Whether it is instantiated exactly once.
    pub(super) fn is_one(&self, module: &Facts) -> bool {
        self.instantiated.iter().filter(|place| **place == module.place).count() == 1
    }
}

fn is_module(alias: &ComponentAlias<'_>) -> bool {
    matches!(
        alias,
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. }
    )
}

/// What is to be known about a module.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The number of its component, and its index there.
    pub(super) place: (usize, u32),
    pub(super) imported_memories: usize,
    /// Memories of its own.
    pub(super) memories: usize,
    /// It has `memory.size` or `memory.grow`.
    pub(super) asks: bool,
    /// It has `memory.grow`.
    pub(super) grows: bool,
    /// It has one memory, of its own, which may be made larger.
    pub(super) can_start_larger: bool,
    /// The pages that the memory starts with.
    pub(super) initial: u64,
    /// Places in its code are known to others: a debugger, or hints for the compiler.
    pub(super) has_places: bool,
    /// How many there are, imported ones with them.
    pub(super) types: u32,
    pub(super) functions: u32,
    pub(super) globals: u32,
}

impl Facts {
    fn of(module: &[u8]) -> wasmparser::Result<Self> {
        let mut facts = Self::default();
        let mut memories = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(types) => {
                    for group in types {
                        facts.types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => facts.functions += 1,
                            TypeRef::Global(_) => facts.globals += 1,
                            TypeRef::Memory(_) => facts.imported_memories += 1,
                            TypeRef::Table(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => facts.functions += functions.count(),
                Payload::GlobalSection(globals) => facts.globals += globals.count(),
                Payload::MemorySection(section) => memories = section.into_iter().collect::<wasmparser::Result<_>>()?,
                Payload::CustomSection(custom) => {
                    facts.has_places |= custom.name().starts_with(".debug_") || custom.name().starts_with("metadata.code.");
                }
                Payload::CodeSectionEntry(body) => {
                    for operator in body.get_operators_reader()? {
                        let operator = operator?;
                        facts.grows |= matches!(operator, Operator::MemoryGrow { .. });
                        facts.asks |= matches!(operator, Operator::MemoryGrow { .. } | Operator::MemorySize { .. });
                    }
                }
                _ => {}
            }
        }
        facts.memories = memories.len();
        if let [memory] = memories.as_slice() {
            facts.initial = memory.initial;
            facts.can_start_larger = facts.imported_memories == 0
                && !memory.memory64
                && !memory.shared
                && memory.maximum.is_none()
                && memory.page_size_log2.is_none()
                && memory.initial + PAGES < MAXIMUM;
        }
        Ok(facts)
    }
}

/// The sections of a module or a component: ids and contents. None: it is no such thing, and the compiler has the words for that.
pub(super) fn sections(bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut reader = BinaryReader::new(bytes.get(HEADER..)?, 0);
    let mut sections = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8().ok()?;
        let length = usize::try_from(reader.read_var_u32().ok()?).ok()?;
        sections.push((id, reader.read_bytes(length).ok()?));
    }
    Some(sections)
}
