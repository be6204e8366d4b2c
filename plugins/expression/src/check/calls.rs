//! Functions, and what SQL writes in words of its own: `cast`, `like`, `substring`, `extract`.

use sqlparser::ast::{
    CastKind, CeilFloorKind, DataType as SqlType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, TrimWhereField,
};
use wasmill_sdk::{data::DataType, prelude::*};

use super::{Check, Checked, Checker, not_known, one_type, wrong_type};
use crate::node::{Comparison, Constant, Node, Numeric, Part, Rewrite, Search};

/// The functions there are, for messages.
const FUNCTIONS: &str = "abs, ceil, coalesce, concat, contains, ends_with, exp, extract, floor, greatest, is_nan, least, \
    length, ln, lower, ltrim, nullif, replace, round, rtrim, sqrt, starts_with, substr, trim, upper";

impl Checker<'_> {
    /// Everything but operators.
    pub(super) fn call(&mut self, expr: &Expr) -> Check {
        match expr {
            Expr::Cast { kind, expr: inner, data_type, format: None } => {
                let is_try = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                self.cast(expr, inner, data_type, is_try)
            }
            Expr::Like { negated, any: false, expr: inner, pattern, escape_char: None } => {
                self.like(expr, inner, pattern, true, *negated)
            }
            Expr::ILike { negated, any: false, expr: inner, pattern, escape_char: None } => {
                self.like(expr, inner, pattern, false, *negated)
            }
            Expr::Substring { expr: inner, substring_from, substring_for, .. } => {
                self.substring(expr, inner, substring_from.as_deref(), substring_for.as_deref())
            }
            Expr::Trim { trim_where, trim_what: None, expr: inner, trim_characters: None } => {
                let rewrite = match trim_where {
                    None | Some(TrimWhereField::Both) => Rewrite::Trim,
                    Some(TrimWhereField::Leading) => Rewrite::TrimStart,
                    Some(TrimWhereField::Trailing) => Rewrite::TrimEnd,
                };
                self.rewrite(expr, rewrite, inner)
            }
            Expr::Ceil { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.numeric(expr, Numeric::Ceiling, inner)
            }
            Expr::Floor { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.numeric(expr, Numeric::Floor, inner)
            }
            Expr::Extract { field, expr: inner, .. } => self.extract(expr, field, inner),
            Expr::Function(function) => self.function(expr, function),
            _ => Err(not_known(expr)),
        }
    }

    fn function(&mut self, whole: &Expr, function: &Function) -> Check {
        let name = function.name.to_string().to_lowercase();
        let arguments = arguments(function).ok_or_else(|| not_known(whole))?;
        match (name.as_str(), arguments.as_slice()) {
            ("abs", [value]) => self.numeric(whole, Numeric::Absolute, value),
            ("round", [value]) => self.numeric(whole, Numeric::Round, value),
            ("ceil" | "ceiling", [value]) => self.numeric(whole, Numeric::Ceiling, value),
            ("floor", [value]) => self.numeric(whole, Numeric::Floor, value),
            ("sqrt", [value]) => self.float(whole, Numeric::Root, value),
            ("exp", [value]) => self.float(whole, Numeric::Exponential, value),
            ("ln", [value]) => self.float(whole, Numeric::Logarithm, value),
            ("is_nan" | "isnan", [value]) => {
                let value = self.typed(whole, value, DataType::Float64)?;
                let nullable = value.nullable;
                Ok(Checked::new(Node::IsNan(value.boxed()), DataType::Boolean, nullable))
            }
            ("coalesce", [_, ..]) => {
                let (values, data_type) = self.all(whole, &arguments)?;
                let nullable = values.iter().all(|value| value.nullable);
                let nodes = values.into_iter().map(|value| value.node).collect();
                Ok(Checked { node: Node::Coalesce(nodes), data_type, nullable })
            }
            ("nullif", [a, b]) => {
                let equal = self.compare(whole, Comparison::Equal, a, b)?;
                let value = self.check(a)?;
                let cases = vec![(equal.node, Node::Constant(Constant::Null))];
                let data_type = value.data_type;
                Ok(Checked { node: Node::Case(cases, value.boxed()), data_type, nullable: true })
            }
            ("least", [_, _, ..]) => self.extreme(whole, &arguments, Node::Least),
            ("greatest", [_, _, ..]) => self.extreme(whole, &arguments, Node::Greatest),
            ("lower", [text]) => self.rewrite(whole, Rewrite::Lower, text),
            ("upper", [text]) => self.rewrite(whole, Rewrite::Upper, text),
            ("trim", [text]) => self.rewrite(whole, Rewrite::Trim, text),
            ("ltrim", [text]) => self.rewrite(whole, Rewrite::TrimStart, text),
            ("rtrim", [text]) => self.rewrite(whole, Rewrite::TrimEnd, text),
            ("length" | "char_length", [text]) => {
                let text = self.typed(whole, text, DataType::Utf8)?;
                let nullable = text.nullable;
                Ok(Checked::new(Node::Length(text.boxed()), DataType::Int64, nullable))
            }
            ("starts_with", [a, b]) => self.search(whole, Search::Starts, a, b),
            ("ends_with", [a, b]) => self.search(whole, Search::Ends, a, b),
            ("contains", [a, b]) => self.search(whole, Search::Contains, a, b),
            ("substr" | "substring", [text, from]) => self.substring(whole, text, Some(from), None),
            ("substr" | "substring", [text, from, length]) => self.substring(whole, text, Some(from), Some(length)),
            ("concat", [_, ..]) => self
                .texts(whole, &arguments)
                .map(|(nodes, nullable)| Checked::new(Node::Concat(nodes), DataType::Utf8, nullable)),
            ("replace", [_, _, _]) => {
                let (nodes, nullable) = self.texts(whole, &arguments)?;
                let mut nodes = nodes.into_iter().map(Box::new);
                match (nodes.next(), nodes.next(), nodes.next()) {
                    (Some(text), Some(from), Some(to)) => {
                        Ok(Checked::new(Node::Replace(text, from, to), DataType::Utf8, nullable))
                    }
                    _ => Err(not_known(whole)),
                }
            }
            _ if FUNCTIONS.split(", ").any(|known| known == name) => {
                Err(format!("`{whole}`: `{name}` does not take {} arguments", arguments.len()))
            }
            _ => Err(format!("`{whole}`: there is no function `{name}`; functions: {FUNCTIONS}")),
        }
    }

    fn all(&mut self, whole: &Expr, arguments: &[&Expr]) -> Result<(Vec<Checked>, Option<DataType>), String> {
        let values = arguments.iter().map(|argument| self.check(argument)).collect::<Result<_, String>>()?;
        one_type(whole, values)
    }

    fn texts(&mut self, whole: &Expr, arguments: &[&Expr]) -> Result<(Vec<Node>, bool), String> {
        let mut nodes = Vec::new();
        let mut nullable = false;
        for argument in arguments {
            let text = self.typed(whole, argument, DataType::Utf8)?;
            nullable |= text.nullable;
            nodes.push(text.node);
        }
        Ok((nodes, nullable))
    }

    fn numeric(&mut self, whole: &Expr, function: Numeric, value: &Expr) -> Check {
        let checked = self.check(value)?;
        if !checked.is_number() {
            return Err(wrong_type(whole, value, &checked, "a number"));
        }
        Ok(Checked { node: Node::Numeric(function, Box::new(checked.node)), ..checked })
    }

    /// A function whose result is a float, whatever number it is of.
    fn float(&mut self, whole: &Expr, function: Numeric, value: &Expr) -> Check {
        let checked = self.check(value)?;
        if !checked.is_number() {
            return Err(wrong_type(whole, value, &checked, "a number"));
        }
        let checked = checked.into_float();
        Ok(Checked { node: Node::Numeric(function, Box::new(checked.node)), ..checked })
    }

    fn rewrite(&mut self, whole: &Expr, rewrite: Rewrite, text: &Expr) -> Check {
        let text = self.typed(whole, text, DataType::Utf8)?;
        let nullable = text.nullable;
        Ok(Checked::new(Node::Rewrite(rewrite, text.boxed()), DataType::Utf8, nullable))
    }

    fn search(&mut self, whole: &Expr, search: Search, a: &Expr, b: &Expr) -> Check {
        let (a, b) = (self.typed(whole, a, DataType::Utf8)?, self.typed(whole, b, DataType::Utf8)?);
        let nullable = a.nullable || b.nullable;
        Ok(Checked::new(Node::Search(search, a.boxed(), b.boxed()), DataType::Boolean, nullable))
    }

    fn like(&mut self, whole: &Expr, text: &Expr, pattern: &Expr, has_case: bool, not: bool) -> Check {
        let text = self.typed(whole, text, DataType::Utf8)?;
        let Node::Constant(Constant::Text(pattern)) = self.check(pattern)?.node else {
            return Err(format!("`{whole}`: the pattern must be a text such as '%abc_'"));
        };
        let nullable = text.nullable;
        let like = Checked::new(Node::Like(text.boxed(), pattern, has_case), DataType::Boolean, nullable);
        Ok(if not { super::negated(like) } else { like })
    }

    fn substring(&mut self, whole: &Expr, text: &Expr, from: Option<&Expr>, length: Option<&Expr>) -> Check {
        let text = self.typed(whole, text, DataType::Utf8)?;
        let from = match from {
            Some(from) => self.typed(whole, from, DataType::Int64)?,
            None => Checked::constant(Constant::Whole(1), DataType::Int64),
        };
        let length = length.map(|length| self.typed(whole, length, DataType::Int64)).transpose()?;
        let nullable = text.nullable || from.nullable || length.as_ref().is_some_and(|length| length.nullable);
        let length = length.map(Checked::boxed);
        Ok(Checked::new(Node::Substring(text.boxed(), from.boxed(), length), DataType::Utf8, nullable))
    }

    fn extreme(&mut self, whole: &Expr, arguments: &[&Expr], join: fn(Box<Node>, Box<Node>) -> Node) -> Check {
        let (values, data_type) = self.all(whole, arguments)?;
        let nullable = values.iter().all(|value| value.nullable);
        let node = values.into_iter().map(|value| value.node).reduce(|a, b| join(Box::new(a), Box::new(b)));
        Ok(Checked { node: node.ok_or_else(|| not_known(whole))?, data_type, nullable })
    }

    fn extract(&mut self, whole: &Expr, field: &DateTimeField, moment: &Expr) -> Check {
        let part = match field {
            DateTimeField::Year => Part::Year,
            DateTimeField::Month => Part::Month,
            DateTimeField::Day => Part::Day,
            DateTimeField::Hour => Part::Hour,
            DateTimeField::Minute => Part::Minute,
            DateTimeField::Second => Part::Second,
            DateTimeField::Dow | DateTimeField::DayOfWeek => Part::DayOfWeek,
            DateTimeField::Epoch => Part::Epoch,
            _ => {
                let parts = "year, month, day, hour, minute, second, dow, epoch";
                return Err(format!("`{whole}`: expected one of {parts}"));
            }
        };
        let moment = self.typed(whole, moment, DataType::Timestamp)?;
        let nullable = moment.nullable;
        Ok(Checked::new(Node::Part(part, moment.boxed()), DataType::Int64, nullable))
    }

    fn cast(&mut self, whole: &Expr, value: &Expr, sql_type: &SqlType, is_try: bool) -> Check {
        use DataType::{Boolean, Float64, Int64, Timestamp, Utf8};
        let to = type_of(sql_type).ok_or_else(|| {
            format!("`{whole}`: there is no type {sql_type}; types: int64, float64, timestamp, boolean, utf8")
        })?;
        let value = self.check(value)?;
        let nullable = value.nullable || is_try;
        match (value.data_type, to) {
            (None, _) => Ok(Checked::new(value.node, to, true)),
            (Some(from), to) if from == to => Ok(value),
            (Some(Int64 | Float64 | Timestamp | Boolean), Utf8)
            | (Some(Utf8), Int64 | Float64 | Timestamp | Boolean)
            | (Some(Int64), Float64 | Timestamp)
            | (Some(Float64 | Timestamp | Boolean), Int64) => {
                let from = value.data_type.unwrap_or(to);
                Ok(Checked::new(Node::Cast(value.boxed(), from, to, is_try), to, nullable))
            }
            (Some(from), to) => Err(format!("`{whole}`: {} cannot be cast to {}", from.name(), to.name())),
        }
    }
}

/// The arguments of a plain call.
fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let plain = function.filter.is_none() && function.over.is_none() && function.within_group.is_empty();
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain = plain && list.duplicate_treatment.is_none() && list.clauses.is_empty();
    if !plain {
        return None;
    }
    list.args.iter().map(argument).collect()
}

fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// The type that SQL, or this project, calls so.
pub(super) fn type_of(sql_type: &SqlType) -> Option<DataType> {
    Some(match sql_type.to_string().to_lowercase().as_str() {
        "int64" | "bigint" | "int" | "integer" | "int8" => DataType::Int64,
        "float64" | "double" | "double precision" | "float" | "float8" => DataType::Float64,
        "timestamp" => DataType::Timestamp,
        "boolean" | "bool" => DataType::Boolean,
        "utf8" | "text" | "varchar" | "string" => DataType::Utf8,
        _ => return None,
    })
}
