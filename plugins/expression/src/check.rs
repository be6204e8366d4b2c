//! From text to checked nodes: which columns there are, which types fit together.

use sqlparser::{
    ast::{self, BinaryOperator, Expr, UnaryOperator},
    dialect::GenericDialect,
    parser::Parser,
    tokenizer::Token,
};
use wasmill_sdk::{
    data::{DataType, Input},
    prelude::*,
};

use crate::{
    Mentioned,
    node::{Arithmetic, Comparison, Constant, Node, Numeric},
};

mod calls;

/// How deep brackets and functions may stand in each other.
const BRACKETS_MAX: usize = 48;

/// How deep operations may stand in each other: a sum of so many terms is as deep. Each costs stack when it is worked out.
const DEPTH_MAX: usize = 128;

/// Reads one expression, with nothing behind it.
pub(crate) fn parse(text: &str) -> Result<Expr, String> {
    let wrong = |error: sqlparser::parser::ParserError| match error {
        sqlparser::parser::ParserError::TokenizerError(why) | sqlparser::parser::ParserError::ParserError(why) => {
            format!("`{text}` is no expression: {why}")
        }
        sqlparser::parser::ParserError::RecursionLimitExceeded => format!("`{text}` is nested too deeply"),
    };
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(BRACKETS_MAX);
    let mut parser = parser.try_with_sql(text).map_err(wrong)?;
    let parsed = parser.parse_expr().map_err(wrong)?;
    match parser.next_token().token {
        Token::EOF => Ok(parsed),
        found => Err(format!("`{text}` is no expression: it goes on behind its end, with `{found}`")),
    }
}

/// A node, its type (`None`: null, of any type), and whether it can be null.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) node: Node,
    pub(crate) data_type: Option<DataType>,
    pub(crate) nullable: bool,
}

impl Checked {
    fn new(node: Node, data_type: DataType, nullable: bool) -> Self {
        Self { node, data_type: Some(data_type), nullable }
    }

    fn constant(constant: Constant, data_type: DataType) -> Self {
        Self::new(Node::Constant(constant), data_type, false)
    }

    fn boxed(self) -> Box<Node> {
        Box::new(self.node)
    }

    /// For messages.
    fn kind(&self) -> &'static str {
        self.data_type.map_or("null", DataType::name)
    }

    fn is(&self, data_type: DataType) -> bool {
        self.data_type.is_none_or(|found| found == data_type)
    }

    fn is_number(&self) -> bool {
        self.is(DataType::Int64) || self.is(DataType::Float64)
    }

    /// Whole numbers as floats; floats as they are.
    fn into_float(self) -> Self {
        match self.data_type {
            Some(DataType::Int64) => match self.node {
                Node::Constant(Constant::Whole(value)) => {
                    Self::constant(Constant::Float(value as f64), DataType::Float64)
                }
                node => Self::new(Node::ToFloat(Box::new(node)), DataType::Float64, self.nullable),
            },
            _ => Self { data_type: Some(DataType::Float64), ..self },
        }
    }
}

type Check = Result<Checked, String>;

/// What expressions are checked against.
pub(crate) struct Checker<'i> {
    input: &'i Input,
    mentioned: &'i mut Mentioned,
    /// How many expressions the one that is being checked stands in.
    depth: usize,
}

impl<'i> Checker<'i> {
    pub(crate) fn new(input: &'i Input, mentioned: &'i mut Mentioned) -> Self {
        Self { input, mentioned, depth: 0 }
    }

    /// Checks an expression and all its parts.
    pub(crate) fn check(&mut self, expr: &Expr) -> Check {
        if self.depth >= DEPTH_MAX {
            return Err("the expression is nested too deeply".to_owned());
        }
        self.depth += 1;
        let checked = self.check_parts(expr);
        self.depth -= 1;
        checked
    }

    fn check_parts(&mut self, expr: &Expr) -> Check {
        match expr {
            Expr::Identifier(name) => self.column(&name.value),
            Expr::CompoundIdentifier(names) => {
                let names: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
                Err(format!("`{expr}`: a column has one name; write \"{}\" if there is a dot in it", names.join(".")))
            }
            Expr::Nested(inner) => self.check(inner),
            Expr::Value(value) => constant(&value.value).ok_or_else(|| not_known(expr)),
            Expr::TypedString(typed) => {
                let text = typed.value.value.clone().into_string().ok_or_else(|| not_known(expr))?;
                let data_type = calls::type_of(&typed.data_type).ok_or_else(|| not_known(expr))?;
                literal(&text, data_type).map_err(|why| format!("`{expr}`: {why}"))
            }
            Expr::UnaryOp { op, expr: inner } => self.unary(expr, *op, inner),
            Expr::BinaryOp { left, op, right } => self.binary(expr, op, left, right),
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => self.is_null(inner, false),
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => self.is_null(inner, true),
            Expr::IsTrue(inner) => self.is(inner, true, false),
            Expr::IsNotTrue(inner) => self.is(inner, true, true),
            Expr::IsFalse(inner) => self.is(inner, false, false),
            Expr::IsNotFalse(inner) => self.is(inner, false, true),
            Expr::IsDistinctFrom(a, b) => Ok(negated(self.same(expr, a, b)?)),
            Expr::IsNotDistinctFrom(a, b) => self.same(expr, a, b),
            Expr::Between { expr: inner, negated: not, low, high } => {
                let above = self.compare(expr, Comparison::GreaterOrEqual, inner, low)?;
                let below = self.compare(expr, Comparison::LessOrEqual, inner, high)?;
                let nullable = above.nullable || below.nullable;
                let both = Checked::new(Node::And(above.boxed(), below.boxed()), DataType::Boolean, nullable);
                Ok(if *not { negated(both) } else { both })
            }
            Expr::InList { expr: inner, list, negated: not } => {
                let found = self.is_in(expr, inner, list)?;
                Ok(if *not { negated(found) } else { found })
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(expr, operand.as_deref(), conditions, else_result.as_deref())
            }
            _ => self.call(expr),
        }
    }

    fn column(&mut self, name: &str) -> Check {
        let field = self.input.field(name)?;
        let data_type = DataType::from_name(&field.data_type);
        let data_type = data_type
            .ok_or_else(|| format!("column `{name}` is {}, which expressions cannot read", field.data_type))?;
        Ok(Checked::new(Node::Column(self.mentioned.place(name), data_type), data_type, field.nullable))
    }

    fn unary(&mut self, whole: &Expr, op: UnaryOperator, inner: &Expr) -> Check {
        // The smallest whole number has no opposite to be read first.
        if let (UnaryOperator::Minus, Expr::Value(value)) = (op, inner)
            && let ast::Value::Number(digits, _) = &value.value
        {
            return number(&format!("-{digits}")).ok_or_else(|| not_known(whole));
        }
        let checked = self.check(inner)?;
        match op {
            UnaryOperator::Plus if checked.is_number() => Ok(checked),
            UnaryOperator::Minus if checked.is_number() => {
                Ok(Checked { node: Node::Numeric(Numeric::Negative, Box::new(checked.node)), ..checked })
            }
            UnaryOperator::Not if checked.is(DataType::Boolean) => Ok(negated(checked)),
            UnaryOperator::Plus | UnaryOperator::Minus => Err(wrong_type(whole, inner, &checked, "a number")),
            UnaryOperator::Not => Err(wrong_type(whole, inner, &checked, "boolean")),
            _ => Err(not_known(whole)),
        }
    }

    fn binary(&mut self, whole: &Expr, op: &BinaryOperator, left: &Expr, right: &Expr) -> Check {
        match op {
            BinaryOperator::Plus => self.arithmetic(whole, Arithmetic::Add, left, right),
            BinaryOperator::Minus => self.arithmetic(whole, Arithmetic::Subtract, left, right),
            BinaryOperator::Multiply => self.arithmetic(whole, Arithmetic::Multiply, left, right),
            BinaryOperator::Divide => self.arithmetic(whole, Arithmetic::Divide, left, right),
            BinaryOperator::DuckIntegerDivide => self.arithmetic(whole, Arithmetic::DivideWhole, left, right),
            BinaryOperator::Modulo => self.arithmetic(whole, Arithmetic::Remainder, left, right),
            BinaryOperator::Eq => self.compare(whole, Comparison::Equal, left, right),
            BinaryOperator::NotEq => self.compare(whole, Comparison::Unequal, left, right),
            BinaryOperator::Lt => self.compare(whole, Comparison::Less, left, right),
            BinaryOperator::LtEq => self.compare(whole, Comparison::LessOrEqual, left, right),
            BinaryOperator::Gt => self.compare(whole, Comparison::Greater, left, right),
            BinaryOperator::GtEq => self.compare(whole, Comparison::GreaterOrEqual, left, right),
            BinaryOperator::And | BinaryOperator::Or => {
                let a = self.typed(whole, left, DataType::Boolean)?;
                let b = self.typed(whole, right, DataType::Boolean)?;
                let nullable = a.nullable || b.nullable;
                let join = if *op == BinaryOperator::And { Node::And } else { Node::Or };
                Ok(Checked::new(join(a.boxed(), b.boxed()), DataType::Boolean, nullable))
            }
            BinaryOperator::StringConcat => {
                let a = self.typed(whole, left, DataType::Utf8)?;
                let b = self.typed(whole, right, DataType::Utf8)?;
                let nullable = a.nullable || b.nullable;
                Ok(Checked::new(Node::Concat(vec![a.node, b.node]), DataType::Utf8, nullable))
            }
            _ => Err(not_known(whole)),
        }
    }

    fn arithmetic(&mut self, whole: &Expr, op: Arithmetic, left: &Expr, right: &Expr) -> Check {
        use DataType::{Float64, Int64, Timestamp};
        let (a, b) = (self.check(left)?, self.check(right)?);
        let nullable = a.nullable || b.nullable;
        let types = (a.data_type.or(b.data_type), b.data_type.or(a.data_type));
        let of = |a: Checked, b: Checked, data_type| {
            Ok(Checked::new(Node::Arithmetic(op, a.boxed(), b.boxed()), data_type, nullable))
        };
        match (types, op) {
            ((None, None), _) => Ok(Checked { node: Node::Constant(Constant::Null), data_type: None, nullable: true }),
            ((Some(Int64 | Float64), Some(Int64 | Float64)), Arithmetic::Divide) => {
                of(a.into_float(), b.into_float(), Float64)
            }
            ((Some(Int64), Some(Int64)), _) => of(a, b, Int64),
            ((Some(_), Some(_)), Arithmetic::DivideWhole) => {
                Err(format!("`{whole}`: `//` divides whole numbers; use `/`, or cast to int64"))
            }
            ((Some(Int64 | Float64), Some(Int64 | Float64)), _) => of(a.into_float(), b.into_float(), Float64),
            ((Some(Timestamp), Some(Int64)), Arithmetic::Add | Arithmetic::Subtract) => of(a, b, Timestamp),
            ((Some(Int64), Some(Timestamp)), Arithmetic::Add) => of(a, b, Timestamp),
            ((Some(Timestamp), Some(Timestamp)), Arithmetic::Subtract) => of(a, b, Int64),
            _ => Err(format!("`{whole}`: there is no such operation on {} and {}", a.kind(), b.kind())),
        }
    }

    fn compare(&mut self, whole: &Expr, op: Comparison, left: &Expr, right: &Expr) -> Check {
        let (a, b) = self.alike(whole, left, right)?;
        let nullable = a.nullable || b.nullable;
        Ok(Checked::new(Node::Compare(op, a.boxed(), b.boxed()), DataType::Boolean, nullable))
    }

    fn same(&mut self, whole: &Expr, left: &Expr, right: &Expr) -> Check {
        let (a, b) = self.alike(whole, left, right)?;
        Ok(Checked::new(Node::Same(a.boxed(), b.boxed()), DataType::Boolean, false))
    }

    /// Two expressions as values of one type that can be compared.
    fn alike(&mut self, whole: &Expr, left: &Expr, right: &Expr) -> Result<(Checked, Checked), String> {
        let (a, b) = (self.check(left)?, self.check(right)?);
        let (a, b) = unified(a, b).map_err(|(a, b)| {
            format!("`{whole}`: {} and {} cannot be compared; cast one of them", a.kind(), b.kind())
        })?;
        if a.data_type == Some(DataType::Binary) {
            return Err(format!("`{whole}`: binary can only be tested for null"));
        }
        Ok((a, b))
    }

    fn is_null(&mut self, inner: &Expr, not: bool) -> Check {
        let checked = Checked::new(Node::IsNull(self.check(inner)?.boxed()), DataType::Boolean, false);
        Ok(if not { negated(checked) } else { checked })
    }

    fn is(&mut self, inner: &Expr, wanted: bool, not: bool) -> Check {
        let value = self.typed(inner, inner, DataType::Boolean)?;
        let checked = Checked::new(Node::Is(value.boxed(), wanted), DataType::Boolean, false);
        Ok(if not { negated(checked) } else { checked })
    }

    fn is_in(&mut self, whole: &Expr, inner: &Expr, list: &[Expr]) -> Check {
        let value = self.check(inner)?;
        let mut constants = Vec::new();
        let mut any: Option<Checked> = None;
        for item in list {
            let (a, b) = self.alike(whole, inner, item)?;
            match b.node {
                // Only if no side had to be made a float: the value is looked for as it is.
                Node::Constant(constant) if a.data_type == value.data_type && constant != Constant::Null => {
                    constants.push(constant);
                }
                _ => {
                    let equal = self.compare(whole, Comparison::Equal, inner, item)?;
                    any = Some(either(any, equal));
                }
            }
        }
        if !constants.is_empty() || any.is_none() {
            let nullable = value.nullable;
            any = Some(either(any, Checked::new(Node::In(value.boxed(), constants), DataType::Boolean, nullable)));
        }
        any.ok_or_else(|| not_known(whole))
    }

    fn case(
        &mut self,
        whole: &Expr,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Check {
        let mut tests = Vec::new();
        let mut values = Vec::new();
        for when in conditions {
            tests.push(match operand {
                Some(operand) => self.compare(whole, Comparison::Equal, operand, &when.condition)?.node,
                None => self.typed(whole, &when.condition, DataType::Boolean)?.node,
            });
            values.push(self.check(&when.result)?);
        }
        values.push(match otherwise {
            Some(otherwise) => self.check(otherwise)?,
            None => Checked { node: Node::Constant(Constant::Null), data_type: None, nullable: true },
        });
        let (mut values, data_type) = one_type(whole, values)?;
        let nullable = values.iter().any(|value| value.nullable);
        let otherwise = values.pop().map_or(Node::Constant(Constant::Null), |value| value.node);
        let cases = tests.into_iter().zip(values.into_iter().map(|value| value.node)).collect();
        Ok(Checked { node: Node::Case(cases, Box::new(otherwise)), data_type, nullable })
    }

    /// An expression that must be of a type, or null.
    fn typed(&mut self, whole: &Expr, expr: &Expr, data_type: DataType) -> Check {
        let checked = self.check(expr)?;
        if !checked.is(data_type) {
            return Err(wrong_type(whole, expr, &checked, data_type.name()));
        }
        Ok(Checked { data_type: Some(data_type), ..checked })
    }
}

fn either(any: Option<Checked>, other: Checked) -> Checked {
    match any {
        None => other,
        Some(any) => {
            let nullable = any.nullable || other.nullable;
            Checked::new(Node::Or(any.boxed(), other.boxed()), DataType::Boolean, nullable)
        }
    }
}

fn negated(checked: Checked) -> Checked {
    let nullable = checked.nullable;
    Checked::new(Node::Not(checked.boxed()), DataType::Boolean, nullable)
}

/// Both as one type: whole numbers as floats beside floats, text that stands in the expression as a timestamp beside one.
fn unified(a: Checked, b: Checked) -> Result<(Checked, Checked), (Checked, Checked)> {
    use DataType::{Float64, Int64, Timestamp, Utf8};
    match (a.data_type, b.data_type) {
        (Some(Int64), Some(Float64)) => Ok((a.into_float(), b)),
        (Some(Float64), Some(Int64)) => Ok((a, b.into_float())),
        (Some(Timestamp), Some(Utf8)) => match moment(&b.node) {
            Some(moment) => Ok((a, moment)),
            None => Err((a, b)),
        },
        (Some(Utf8), Some(Timestamp)) => match moment(&a.node) {
            Some(moment) => Ok((moment, b)),
            None => Err((a, b)),
        },
        (a_type, b_type) if a_type == b_type || a_type.is_none() || b_type.is_none() => {
            let data_type = a_type.or(b_type);
            Ok((Checked { data_type, ..a }, Checked { data_type, ..b }))
        }
        _ => Err((a, b)),
    }
}

fn moment(node: &Node) -> Option<Checked> {
    let Node::Constant(Constant::Text(text)) = node else { return None };
    literal(text, DataType::Timestamp).ok()
}

/// All values as one type.
fn one_type(whole: &Expr, mut values: Vec<Checked>) -> Result<(Vec<Checked>, Option<DataType>), String> {
    let mut known: Option<Checked> = None;
    for value in &values {
        known = Some(match known {
            None => value.clone(),
            Some(known) => {
                let unified = unified(known, value.clone());
                unified.map(|(_, value)| value).map_err(|(a, b)| {
                    format!("`{whole}`: its values are {} and {}; cast one of them", a.kind(), b.kind())
                })?
            }
        });
    }
    let data_type = known.and_then(|known| known.data_type);
    for value in &mut values {
        let found = value.clone();
        *value = match (found.data_type, data_type) {
            (Some(DataType::Int64), Some(DataType::Float64)) => found.into_float(),
            (Some(DataType::Utf8), Some(DataType::Timestamp)) => moment(&found.node).unwrap_or(found),
            _ => Checked { data_type, ..found },
        };
    }
    Ok((values, data_type))
}

fn constant(value: &ast::Value) -> Option<Checked> {
    Some(match value {
        ast::Value::Number(digits, _) => return number(digits),
        ast::Value::SingleQuotedString(text) => Checked::constant(Constant::Text(text.clone()), DataType::Utf8),
        ast::Value::Boolean(value) => Checked::constant(Constant::Boolean(*value), DataType::Boolean),
        ast::Value::Null => Checked { node: Node::Constant(Constant::Null), data_type: None, nullable: true },
        _ => return None,
    })
}

/// A whole number if it is written as one and is in range, else a float.
fn number(digits: &str) -> Option<Checked> {
    if let Ok(whole) = digits.parse() {
        return Some(Checked::constant(Constant::Whole(whole), DataType::Int64));
    }
    Some(Checked::constant(Constant::Float(digits.parse().ok()?), DataType::Float64))
}

/// Text that stands in the expression, as a type.
fn literal(text: &str, data_type: DataType) -> Result<Checked, String> {
    use plugins_values::Value;
    let value = plugins_values::parse(text, data_type);
    let constant = match value.ok_or_else(|| format!("\"{text}\" is no {}", data_type.name()))? {
        Value::Null => Constant::Null,
        Value::Whole(value) => Constant::Whole(value),
        Value::Float(value) => Constant::Float(value),
        Value::Boolean(value) => Constant::Boolean(value),
        Value::Text(value) => Constant::Text(value.to_owned()),
    };
    Ok(Checked::constant(constant, data_type))
}

fn not_known(expr: &Expr) -> String {
    format!("`{expr}` is not among what expressions may hold")
}

fn wrong_type(whole: &Expr, part: &Expr, found: &Checked, expected: &str) -> String {
    let place = if core::ptr::eq(whole, part) { String::new() } else { format!("`{whole}`: ") };
    format!("{place}`{part}` is {}, expected {expected}", found.kind())
}
