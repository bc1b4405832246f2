//! Prices that follow from a call's arguments: an expression in CEL (the Common Expression Language), a small part of it.
//!
//! There are no loops (`map`, `filter`, `all`, `exists`), no functions with effects and none that look at a clock, so the work
//! of an evaluation is bounded by the size of the expression and of the arguments it names. Only those are read. The only
//! variable is `args`. What is accepted is decided when the configuration is read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, IdedExpr, operators};
use cel::{Context, Env, ExecutionError, Value as CelValue, functions};
use octroi_l402::Msat;
use octroi_mcp::json;
use serde_json::Value;

/// Longest expression, in bytes.
pub const SOURCE_MAX: usize = 1024;
/// Most operations, names and literals in one expression.
const NODES_MAX: usize = 128;
/// Deepest nesting of one expression.
const DEPTH_MAX: u16 = 24;
/// The stack an expression of that depth is parsed on, in bytes: the parser takes a good 100 KiB for each level where it is not
/// optimised, more than a thread usually has.
const STACK: usize = 16 << 20;
/// Longest complaint of the parser that is passed on, in characters.
const COMPLAINT_MAX: usize = 120;
/// The only variable.
const ARGS: &str = "args";
/// Largest whole number that every reader of JSON can tell from its neighbours: 2⁵³ − 1 (RFC 8259 §6).
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// What may be called.
const FUNCTIONS: [&str; 9] =
    ["size", "int", "uint", "double", "min", "max", "contains", "startsWith", "endsWith"];
/// What may stand between and before values.
const OPERATORS: [&str; 17] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
];

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Why text is no formula. The operator's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// Longer than [`SOURCE_MAX`].
    #[error("longer than {SOURCE_MAX} bytes")]
    TooLong,
    /// Not CEL.
    #[error("{0}")]
    Syntax(String),
    /// Something that could cost too much to evaluate, or has no business in a price.
    #[error("{0} cannot be used in a price")]
    NotAllowed(String),
    /// Larger, or nested more deeply, than a price ever needs to be.
    #[error("more than {NODES_MAX} operations and values, or nested more than {DEPTH_MAX} times")]
    TooLarge,
}

/// Why no price follows from the arguments of a call. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpriceable {
    /// An argument that the price depends on is not there.
    #[error("the argument `{0}` is missing")]
    Missing(String),
    /// An argument is of another type than the price needs.
    #[error("an argument is not of the type it must be")]
    Type,
    /// A sum or product overflows, or something is divided by nothing.
    #[error("an argument is out of bounds")]
    Arithmetic,
    /// The result is below zero.
    #[error("they make a negative price")]
    Negative,
}

/// A compiled expression that makes a price, in millisatoshi, of a call's arguments.
#[derive(Clone)]
pub struct Formula {
    source: String,
    expression: IdedExpr,
    /// The arguments it names; `None`: it may look at any.
    names: Option<BTreeSet<String>>,
}

impl fmt::Debug for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Formula").field(&self.source).finish()
    }
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Formula {}

impl Formula {
    /// Reads and judges an expression.
    ///
    /// # Errors
    /// [`FormulaError`].
    pub fn compile(source: &str) -> Result<Self, FormulaError> {
        if source.len() > SOURCE_MAX {
            return Err(FormulaError::TooLong);
        }
        let expression = parse(source)?;
        let mut review = Review { nodes: 0, names: Some(BTreeSet::new()) };
        review.look(&expression)?;
        Ok(Self { source: source.to_owned(), expression, names: review.names })
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The price of a call with these raw, validated arguments. A fraction of a millisatoshi is rounded up.
    ///
    /// # Errors
    /// [`Unpriceable`].
    pub fn evaluate(&self, arguments: Option<&[u8]>) -> Result<Msat, Unpriceable> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        // Neither can fail: the standard environment declares no function of these names.
        let _ = context.add_function("min", functions::min);
        let _ = context.add_function("max", functions::max);
        context.add_variable_from_value(ARGS, self.read(arguments.unwrap_or(b"{}")));
        match context.resolve(&self.expression).map_err(unpriceable)? {
            CelValue::Int(msat) => from_int(msat),
            CelValue::UInt(msat) => {
                i64::try_from(msat).map_err(|_| Unpriceable::Arithmetic).and_then(from_int)
            }
            CelValue::Float(msat) => from_float(msat),
            _ => Err(Unpriceable::Type),
        }
    }

    /// The arguments that the expression names.
    fn read(&self, raw: &[u8]) -> CelValue {
        let members = json::members(raw)
            .filter(|member| self.names.as_ref().is_none_or(|names| names.contains(&*member.key)))
            .filter_map(|member| {
                let value = serde_json::from_slice(member.value).ok()?;
                Some((member.key.into_owned().into(), to_cel(value)))
            });
        CelValue::Map(cel::objects::Map { map: Arc::new(members.collect()) })
    }
}

/// Parses on a thread of its own, which has the stack for it. For start-up only.
fn parse(source: &str) -> Result<IdedExpr, FormulaError> {
    let unread = || FormulaError::Syntax("it cannot be read".to_owned());
    let parsed = std::thread::scope(|scope| {
        let parser = || ENV.parser().max_recursion_depth(DEPTH_MAX).parse(source);
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, parser);
        thread.map(std::thread::ScopedJoinHandle::join)
    });
    let Ok(Ok(parsed)) = parsed else { return Err(unread()) };
    parsed.map_err(|errors| match errors.errors.first() {
        Some(error) if error.msg.contains("Recursion limit") => FormulaError::TooLarge,
        Some(error) => FormulaError::Syntax(error.msg.chars().take(COMPLAINT_MAX).collect()),
        None => unread(),
    })
}

/// JSON knows one kind of number. One without a fraction is a whole number, also when it is written `5.0`, as some libraries do.
fn to_cel(value: Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => CelValue::Int(whole),
            (None, Some(value)) if value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
                CelValue::Int(value as i64)
            }
            (None, Some(value)) => CelValue::Float(value),
            (None, None) => CelValue::Null,
        },
        Value::String(text) => CelValue::String(Arc::new(text)),
        Value::Array(items) => CelValue::List(Arc::new(items.into_iter().map(to_cel).collect())),
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| (key.into(), to_cel(value)));
            CelValue::Map(cel::objects::Map { map: Arc::new(members.collect()) })
        }
    }
}

fn from_int(msat: i64) -> Result<Msat, Unpriceable> {
    if msat < 0 { Err(Unpriceable::Negative) } else { Ok(Msat::new(msat)) }
}

fn from_float(msat: f64) -> Result<Msat, Unpriceable> {
    let msat = msat.ceil();
    // Also what is not a number compares false.
    if msat < 0.0 {
        Err(Unpriceable::Negative)
    } else if msat <= EXACT_MAX {
        Ok(Msat::new(msat as i64))
    } else {
        Err(Unpriceable::Arithmetic)
    }
}

/// What the caller is told. The interpreter's own words may hold whole arguments.
fn unpriceable(error: ExecutionError) -> Unpriceable {
    match error {
        ExecutionError::NoSuchKey(name) => Unpriceable::Missing(name.chars().take(64).collect()),
        ExecutionError::Overflow(..)
        | ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::IndexOutOfBounds(_) => Unpriceable::Arithmetic,
        _ => Unpriceable::Type,
    }
}

/// Looks through an expression before it is ever evaluated.
struct Review {
    nodes: usize,
    names: Option<BTreeSet<String>>,
}

impl Review {
    /// Recursion is bounded by the depth the parser allows.
    fn look(&mut self, node: &IdedExpr) -> Result<(), FormulaError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(FormulaError::TooLarge);
        }
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if name == ARGS => {
                self.names = None;
                Ok(())
            }
            Expr::Ident(name) => {
                Err(FormulaError::NotAllowed(format!("`{name}`: the arguments are args.NAME")))
            }
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == ARGS => {
                    if let Some(names) = &mut self.names {
                        names.insert(select.field.clone());
                    }
                    Ok(())
                }
                _ => self.look(&select.operand),
            },
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                if name != operators::IN && !FUNCTIONS.contains(&name) && !OPERATORS.contains(&name) {
                    return Err(FormulaError::NotAllowed(said(name)));
                }
                let parts = call.target.as_deref().into_iter().chain(&call.args);
                parts.into_iter().try_for_each(|part| self.look(part))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.look(element)),
            Expr::Comprehension(_) => Err(FormulaError::NotAllowed("a loop".to_owned())),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(FormulaError::NotAllowed("a map".to_owned()))
            }
        }
    }
}

/// A function's name as it is written.
fn said(name: &str) -> String {
    match name {
        operators::OPT_INDEX | operators::OPT_SELECT => "an optional value".to_owned(),
        name => Cow::from(format!("{name}()")).into_owned(),
    }
}

#[cfg(test)]
mod tests;
