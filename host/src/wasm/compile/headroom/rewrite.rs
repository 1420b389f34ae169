//! Modules and components written again, with headroom. What is added comes last in its section, so that no index of what is there changes; everything else
//! is copied as it is.

use wasm_encoder::{BlockType, Component, ConstExpr, Encode as _, Function, GlobalType, Instruction, Module, RawSection, ValType};
use wasmparser::{BinaryReader, FunctionBody, Operator};

use super::{
    Change, MAXIMUM,
    survey::{Facts, component_section, sections},
};

/// Ids of sections, by the binary format of core modules.
mod section {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const TYPE: u8 = 1;
    pub(super) const FUNCTION: u8 = 3;
    pub(super) const TABLE: u8 = 4;
    pub(super) const MEMORY: u8 = 5;
    pub(super) const GLOBAL: u8 = 6;
    pub(super) const CODE: u8 = 10;
    pub(super) const IMPORT: u8 = 2;
    pub(super) const TAG: u8 = 13;
}

/// The component with its modules rewritten, those in components within it too.
pub(super) fn component<'a>(bytes: &[u8], modules: &mut impl Iterator<Item = (&'a Facts, &'a Change)>) -> Option<Vec<u8>> {
    let mut whole = Component::new();
    for (id, content) in sections(bytes)? {
        let changed = match id {
            component_section::CORE_MODULE => match modules.next()? {
                (_, change) if change.is_none() => None,
                (facts, change) => Some(module(content, facts, change)?),
            },
            component_section::COMPONENT => Some(component(content, modules)?),
            _ => None,
        };
        whole.section(&RawSection { id, data: changed.as_deref().unwrap_or(content) });
    }
    Some(whole.finish())
}

/// One module, its memory larger, or its size counted, or both.
fn module(bytes: &[u8], facts: &Facts, change: &Change) -> Option<Vec<u8>> {
    let (size, grow) = (facts.globals, facts.functions);
    let counter = change.counts.map(counter);
    // Without a counter there is nothing to put anywhere.
    let mut counted = counter.is_none();
    let mut whole = Module::new();
    for (id, content) in sections(bytes)? {
        let before = matches!(
            id,
            section::CUSTOM | section::TYPE | section::IMPORT | section::FUNCTION | section::TABLE | section::MEMORY | section::TAG
        );
        if !before && !counted {
            counted = true;
            if let (Some(counter), false) = (&counter, id == section::GLOBAL) {
                // It has no global of its own.
                let mut data = vec![1];
                data.extend_from_slice(counter);
                whole.section(&RawSection { id: section::GLOBAL, data: &data });
            }
        }
        let changed = match (id, &counter, change.memory) {
            (section::MEMORY, _, Some(pages)) => {
                // One memory, with a maximum.
                let mut memory = vec![1, 1];
                pages.encode(&mut memory);
                MAXIMUM.encode(&mut memory);
                Some(memory)
            }
            // From a number to a number, both of 32 bits.
            (section::TYPE, Some(_), _) => Some(with_one_more(content, &[0x60, 1, 0x7f, 1, 0x7f])?),
            (section::FUNCTION, Some(_), _) => {
                let mut index = Vec::new();
                facts.types.encode(&mut index);
                Some(with_one_more(content, &index)?)
            }
            (section::GLOBAL, Some(counter), _) => Some(with_one_more(content, counter)?),
            (section::CODE, Some(_), _) => Some(code(content, size, grow)?),
            _ => None,
        };
        whole.section(&RawSection { id, data: changed.as_deref().unwrap_or(content) });
    }
    Some(whole.finish())
}

/// A global that begins with so many pages, as it stands in a section.
fn counter(pages: u64) -> Vec<u8> {
    let mut counter = Vec::new();
    GlobalType { val_type: ValType::I32, mutable: true, shared: false }.encode(&mut counter);
    // A memory has 65,536 pages at most.
    ConstExpr::i32_const(i32::try_from(pages).unwrap_or(i32::MAX)).encode(&mut counter);
    counter
}

/// A section with one more entry behind those that it has.
fn with_one_more(content: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32().ok()?;
    let mut more = Vec::with_capacity(content.len() + entry.len() + 1);
    count.checked_add(1)?.encode(&mut more);
    more.extend_from_slice(content.get(reader.original_position()..)?);
    more.extend_from_slice(entry);
    Some(more)
}

/// The code, with the size read from the counter, and the memory grown by a function that counts.
fn code(content: &[u8], size: u32, grow: u32) -> Option<Vec<u8>> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32().ok()?;
    let mut code = Vec::with_capacity(content.len() + 64);
    count.checked_add(1)?.encode(&mut code);
    for _ in 0..count {
        let length = usize::try_from(reader.read_var_u32().ok()?).ok()?;
        let body = reader.read_bytes(length).ok()?;
        match function(body, size, grow)? {
            Some(changed) => changed.as_slice().encode(&mut code),
            None => body.encode(&mut code),
        }
    }
    grown(size).encode(&mut code);
    Some(code)
}

/// A function that asks for the size or grows the memory. None within: it does neither, and stays as it is.
fn function(body: &[u8], size: u32, grow: u32) -> Option<Option<Vec<u8>>> {
    let parsed = FunctionBody::new(BinaryReader::new(body, 0));
    let mut changed = Vec::new();
    // Up to here it is copied.
    let mut done = 0;
    let mut operators = parsed.get_operators_reader().ok()?;
    while !operators.eof() {
        let at = operators.original_position();
        let instead = match operators.read().ok()? {
            Operator::MemorySize { .. } => Instruction::GlobalGet(size),
            Operator::MemoryGrow { .. } => Instruction::Call(grow),
            _ => continue,
        };
        changed.extend_from_slice(body.get(done..at)?);
        instead.encode(&mut changed);
        done = operators.original_position();
    }
    if done == 0 {
        return Some(None);
    }
    changed.extend_from_slice(body.get(done..)?);
    Some(Some(changed))
}

/// `memory.grow` over the counter: takes pages, answers the size before, or -1.
fn grown(size: u32) -> Function {
    let (pages, wanted) = (0, 1);
    let mut function = Function::new([(1, ValType::I32)]);
    let refused = |function: &mut Function| {
        function.instructions().if_(BlockType::Empty).i32_const(-1).return_().end();
    };
    // More than 32 bits is more than there can be.
    function.instructions().global_get(size).local_get(pages).i32_add().local_tee(wanted).global_get(size).i32_lt_u();
    refused(&mut function);
    function.instructions().local_get(wanted).memory_size(0).i32_gt_u().if_(BlockType::Empty);
    function.instructions().local_get(wanted).memory_size(0).i32_sub().memory_grow(0).i32_const(-1).i32_eq();
    refused(&mut function);
    function.instructions().end();
    function.instructions().global_get(size).local_get(wanted).global_set(size).end();
    function
}
