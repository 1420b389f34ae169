//! What an expression leads through, without running it: a walk over what is known of the values.

use jmespath::ast::Ast;

use super::{Part, Pick, Way};

/// What is known of values, and what is made of their parts.
pub(crate) trait Shapes {
    /// What is known of one value.
    type Shape: Clone;

    /// All that an expression sees.
    fn root(&self) -> Self::Shape;
    /// A value of which nothing is known.
    fn unknown(&self) -> Self::Shape;
    /// A list of such values.
    fn list(&mut self, of: Self::Shape) -> Self::Shape;
    /// A member of a value.
    fn member(&mut self, of: &Self::Shape, name: &str) -> Self::Shape;
    /// The items of a value.
    fn item(&mut self, of: &Self::Shape) -> Self::Shape;
    /// A list with the items of the lists in it.
    fn flat(&mut self, list: Self::Shape) -> Self::Shape;
    /// A value is used as a whole.
    fn used(&mut self, value: &Self::Shape);
}

impl Pick {
    /// Walks through the expression: what it leads to.
    pub(crate) fn shape<S: Shapes>(&self, shapes: &mut S) -> S::Shape {
        let root = shapes.root();
        let found = match &self.way {
            Way::Path(parts) => parts.iter().fold(root, |at, part| match part {
                Part::Token(name) | Part::Member(name) => shapes.member(&at, name),
                Part::Item(_) => shapes.item(&at),
            }),
            Way::Jmespath(ast) => walk(ast, &root, shapes),
        };
        shapes.used(&found);
        found
    }
}

fn walk<S: Shapes>(ast: &Ast, at: &S::Shape, shapes: &mut S) -> S::Shape {
    let consumed = |ast: &Ast, shapes: &mut S| {
        let shape = walk(ast, at, shapes);
        shapes.used(&shape);
    };
    match ast {
        Ast::Identity { .. } | Ast::Slice { .. } => at.clone(),
        Ast::Field { name, .. } => shapes.member(at, name),
        Ast::Index { .. } => shapes.item(at),
        Ast::Subexpr { lhs, rhs, .. } => {
            let left = walk(lhs, at, shapes);
            walk(rhs, &left, shapes)
        }
        Ast::Condition { predicate, then, .. } => {
            consumed(predicate, shapes);
            walk(then, at, shapes)
        }
        Ast::Projection { lhs, rhs, .. } => {
            let list = walk(lhs, at, shapes);
            let item = shapes.item(&list);
            let found = walk(rhs, &item, shapes);
            shapes.list(found)
        }
        Ast::Flatten { node, .. } => {
            let list = walk(node, at, shapes);
            shapes.flat(list)
        }
        Ast::ObjectValues { node, .. } => {
            consumed(node, shapes);
            let unknown = shapes.unknown();
            shapes.list(unknown)
        }
        Ast::Literal { .. } => shapes.unknown(),
        Ast::Not { node, .. } => {
            consumed(node, shapes);
            shapes.unknown()
        }
        Ast::Comparison { lhs, rhs, .. } | Ast::And { lhs, rhs, .. } | Ast::Or { lhs, rhs, .. } => {
            consumed(lhs, shapes);
            consumed(rhs, shapes);
            shapes.unknown()
        }
        Ast::MultiList { elements, .. } => {
            elements.iter().for_each(|element| consumed(element, shapes));
            shapes.unknown()
        }
        Ast::MultiHash { elements, .. } => {
            elements.iter().for_each(|element| consumed(&element.value, shapes));
            shapes.unknown()
        }
        Ast::Function { args, .. } => {
            args.iter().for_each(|argument| consumed(argument, shapes));
            shapes.unknown()
        }
        // It is applied to items of which nothing is known here.
        Ast::Expref { ast, .. } => {
            let unknown = shapes.unknown();
            walk(ast, &unknown, shapes);
            unknown
        }
    }
}

/// Tells the names of all functions that are called.
pub(super) fn functions(ast: &Ast, tell: &mut impl FnMut(&str)) {
    match ast {
        Ast::Identity { .. } | Ast::Slice { .. } | Ast::Field { .. } | Ast::Index { .. } | Ast::Literal { .. } => {}
        Ast::Function { name, args, .. } => {
            tell(name);
            args.iter().for_each(|argument| functions(argument, tell));
        }
        Ast::Subexpr { lhs, rhs, .. }
        | Ast::Projection { lhs, rhs, .. }
        | Ast::Comparison { lhs, rhs, .. }
        | Ast::And { lhs, rhs, .. }
        | Ast::Or { lhs, rhs, .. }
        | Ast::Condition { predicate: lhs, then: rhs, .. } => {
            functions(lhs, tell);
            functions(rhs, tell);
        }
        Ast::Flatten { node, .. } | Ast::ObjectValues { node, .. } | Ast::Not { node, .. } | Ast::Expref { ast: node, .. } => {
            functions(node, tell);
        }
        Ast::MultiList { elements, .. } => elements.iter().for_each(|element| functions(element, tell)),
        Ast::MultiHash { elements, .. } => elements.iter().for_each(|element| functions(&element.value, tell)),
    }
}
