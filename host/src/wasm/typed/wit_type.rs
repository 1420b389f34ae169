//! What a value looks like: a plan made once from a component's types, so that a call looks nothing up in them.

use wasmtime::component::Type;

use super::{names::Names, types::TypeDocs};

/// Types inside types. Each level is at most two levels of JSON, and the JSON parser stops at 128.
const MAX_DEPTH: usize = 48;

/// The plan of one WIT type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Bool,
    Int(Int),
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    List(Box<Shape>),
    /// `list<T, N>`.
    Fixed(Box<Shape>, u32),
    Tuple(Box<[Shape]>),
    /// `map<string, T>`.
    Object(Box<Shape>),
    /// `map<K, V>` with keys that are no strings: key, value.
    Pairs(Box<(Shape, Shape)>),
    Record(Fields),
    Variant(Cases),
    Enum(Names),
    Flags(Names),
    Option(Box<Shape>),
    /// What is in it for `ok` and for `error`.
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
}

impl Shape {
    /// Whether JSON's `null` is one of its values. An option of such a type has to be written `{"some": …}`: `null` could be either.
    pub(super) fn takes_null(&self) -> bool {
        matches!(self, Self::Option(_))
    }
}

/// The fields of a record, or the parameters of a function: as many names as shapes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fields {
    pub(super) names: Names,
    pub(super) shapes: Box<[Shape]>,
}

/// The cases of a variant: as many names as payloads.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Cases {
    pub(super) names: Names,
    pub(super) payloads: Box<[Option<Shape>]>,
}

/// The eight integer types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Int {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Int {
    /// Least and greatest value.
    pub(super) fn range(self) -> (i128, i128) {
        match self {
            Self::S8 => (i8::MIN.into(), i8::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::S16 => (i16::MIN.into(), i16::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::S32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::S64 => (i64::MIN.into(), i64::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
        }
    }
}

/// How much more may be described. A type is written out wherever it is used, so that a small component could name a type of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Types, fields and cases.
    pub(super) nodes: usize,
    /// Bytes of names.
    pub(super) text: usize,
}

impl Budget {
    fn spend<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<(), Unfit> {
        for name in names {
            self.nodes = self.nodes.checked_sub(1).ok_or(Unfit::TooLarge)?;
            self.text = self.text.checked_sub(name.len()).ok_or(Unfit::TooLarge)?;
        }
        Ok(())
    }
}

/// Why a type has no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// JSON has nothing for it.
    Type(&'static str),
    TooDeep,
    TooLarge,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(what) => write!(f, "{what}, which cannot be written as JSON"),
            Self::TooDeep => write!(f, "a type that is nested more than {MAX_DEPTH} deep"),
            Self::TooLarge => f.write_str("a type that is too large when written out"),
        }
    }
}

/// Plans parameters or fields.
pub(super) fn fields<'a>(
    list: impl Iterator<Item = (&'a str, Type)>,
    depth: usize,
    budget: &mut Budget,
    docs: &TypeDocs<'_>,
) -> Result<Fields, (Unfit, Option<String>)> {
    let list: Vec<(&str, Type)> = list.collect();
    budget.spend(list.iter().map(|(name, _)| *name)).map_err(|unfit| (unfit, None))?;
    let shapes = list.iter().map(|(name, ty)| shape(ty, depth, budget, docs).map_err(|unfit| (unfit, Some((*name).to_owned()))));
    let shapes = shapes.collect::<Result<_, _>>()?;
    Ok(Fields { names: Names::new(list.iter().map(|(name, _)| *name)), shapes })
}

/// Plans one type, `depth` levels below the function.
pub(super) fn shape(ty: &Type, depth: usize, budget: &mut Budget, docs: &TypeDocs<'_>) -> Result<Shape, Unfit> {
    budget.spend(std::iter::once(""))?;
    if depth > MAX_DEPTH {
        return Err(Unfit::TooDeep);
    }
    let depth = depth + 1;
    let mut inner = |ty: &Type| shape(ty, depth, budget, docs);
    Ok(match ty {
        Type::Bool => Shape::Bool,
        Type::S8 => Shape::Int(Int::S8),
        Type::U8 => Shape::Int(Int::U8),
        Type::S16 => Shape::Int(Int::S16),
        Type::U16 => Shape::Int(Int::U16),
        Type::S32 => Shape::Int(Int::S32),
        Type::U32 => Shape::Int(Int::U32),
        Type::S64 => Shape::Int(Int::S64),
        Type::U64 => Shape::Int(Int::U64),
        Type::Float32 => Shape::F32,
        Type::Float64 => Shape::F64,
        Type::Char => Shape::Char,
        Type::String => Shape::String,
        Type::List(list) => match list.ty() {
            Type::U8 => Shape::Bytes,
            item => Shape::List(Box::new(inner(&item)?)),
        },
        Type::FixedLengthList(list) => Shape::Fixed(Box::new(inner(&list.ty())?), list.len()),
        Type::Tuple(tuple) => Shape::Tuple(tuple.types().map(|ty| inner(&ty)).collect::<Result<_, _>>()?),
        Type::Map(map) => match map.key() {
            Type::String => Shape::Object(Box::new(inner(&map.value())?)),
            key => Shape::Pairs(Box::new((inner(&key)?, inner(&map.value())?))),
        },
        Type::Option(option) => Shape::Option(Box::new(inner(&option.ty())?)),
        Type::Result(result) => {
            let mut side = |ty: Option<Type>| ty.map(|ty| inner(&ty).map(Box::new)).transpose();
            Shape::Result(side(result.ok())?, side(result.err())?)
        }
        Type::Record(record) => {
            let list = record.fields().map(|field| (field.name, field.ty));
            let mut fields = fields(list, depth, budget, docs).map_err(|(unfit, _)| unfit)?;
            docs.add(super::types::Kind::Record, &mut fields.names);
            Shape::Record(fields)
        }
        Type::Variant(variant) => {
            budget.spend(variant.cases().map(|case| case.name))?;
            let payloads = variant.cases().map(|case| case.ty.map(|ty| shape(&ty, depth, budget, docs)).transpose());
            let payloads = payloads.collect::<Result<_, _>>()?;
            let mut names = Names::new(variant.cases().map(|case| case.name));
            docs.add(super::types::Kind::Variant, &mut names);
            Shape::Variant(Cases { names, payloads })
        }
        Type::Enum(list) => {
            budget.spend(list.names())?;
            let mut names = Names::new(list.names());
            docs.add(super::types::Kind::Enum, &mut names);
            Shape::Enum(names)
        }
        Type::Flags(list) => {
            budget.spend(list.names())?;
            let mut names = Names::new(list.names());
            docs.add(super::types::Kind::Flags, &mut names);
            Shape::Flags(names)
        }
        Type::Own(_) => return Err(Unfit::Type("a resource")),
        Type::Borrow(_) => return Err(Unfit::Type("a borrowed resource")),
        Type::Stream(_) => return Err(Unfit::Type("a stream")),
        Type::Future(_) => return Err(Unfit::Type("a future")),
        Type::ErrorContext => return Err(Unfit::Type("an error-context")),
    })
}
