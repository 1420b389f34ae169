//! The types of elements that a graph can take and give.

use std::fmt;

/// The types of elements that a graph can take and give here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl ElementType {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::F16 | Self::Bf16 | Self::U16 | Self::I16 => 2,
            Self::F32 | Self::U32 | Self::I32 => 4,
            Self::F64 | Self::U64 | Self::I64 => 8,
        }
    }

    /// The type under which callers name it: wasi-nn has seven, and others travel as the one of the same width.
    #[must_use]
    pub fn carrier(self) -> Option<Self> {
        match self {
            Self::Bool | Self::U8 | Self::I8 => Some(Self::U8),
            Self::U32 | Self::I32 => Some(Self::I32),
            Self::U64 | Self::I64 => Some(Self::I64),
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => Some(self),
            Self::U16 | Self::I16 => None,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "fp16",
            Self::Bf16 => "bf16",
            Self::F32 => "fp32",
            Self::F64 => "fp64",
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
        })
    }
}
