//! Reading JSON text once for all fields: a tree of the paths, walked along with the text.

use core::{fmt, ops::Range};

use plugins_values::{Value, timestamp};
use serde_core::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json_alloc::value::RawValue;
use wasmill_sdk::prelude::*;

use crate::{Kind, path::Step};

/// The value of a field in a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found<'t> {
    /// It is not there, or is null.
    Missing,
    /// It is of another type.
    Other,
    Value(Value<'t>),
    /// Text that had to be unescaped.
    Text(Range<usize>),
}

impl Found<'_> {
    /// The value, null if it is missing; `None` if it is of another type.
    pub(crate) fn value<'v>(&'v self, texts: &'v Texts) -> Option<Value<'v>> {
        match self {
            Self::Missing => Some(Value::Null),
            Self::Other => None,
            Self::Value(value) => Some(*value),
            Self::Text(range) => Some(Value::Text(texts.0.get(range.clone()).unwrap_or_default())),
        }
    }
}

/// The unescaped texts of a row.
#[derive(Debug, Default)]
pub(crate) struct Texts(String);

impl Texts {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn add(&mut self, text: &str) -> Range<usize> {
        let start = self.0.len();
        self.0.push_str(text);
        start..self.0.len()
    }
}

/// The paths of all fields, from a value on.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The fields that are this value.
    here: Vec<(usize, Kind)>,
    /// Whether one of them wants its text.
    wants_text: bool,
    /// The fields that are this value or in it.
    within: Vec<usize>,
    members: Vec<(String, Tree)>,
    elements: Vec<(usize, Tree)>,
}

impl Tree {
    /// Adds a field.
    pub(crate) fn add(&mut self, steps: Vec<Step>, place: usize, kind: Kind) {
        let mut node = self;
        for step in steps {
            node.within.push(place);
            node = match step {
                Step::Member(name) => child(&mut node.members, name),
                Step::Element(number) => child(&mut node.elements, number),
            };
        }
        node.within.push(place);
        node.here.push((place, kind));
        node.wants_text |= kind == Kind::Json;
    }

    /// Reads a text into the values of the fields, all of which are missing before.
    pub(crate) fn read<'t>(
        &self,
        text: &'t str,
        found: &mut [Found<'t>],
        texts: &mut Texts,
    ) -> Result<(), serde_json_alloc::Error> {
        let mut json = serde_json_alloc::Deserializer::from_str(text);
        Walk { tree: self, found, texts, text_done: false }.deserialize(&mut json)?;
        json.end()
    }

    fn is_leaf(&self) -> bool {
        self.members.is_empty() && self.elements.is_empty()
    }
}

/// The child of this name, made if it is not there.
fn child<K: PartialEq>(children: &mut Vec<(K, Tree)>, name: K) -> &mut Tree {
    let place = children.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        children.push((name, Tree::default()));
        children.len() - 1
    });
    &mut children[place].1
}

/// A value of the text, and the part of the tree that is about it.
struct Walk<'w, 't> {
    tree: &'w Tree,
    found: &'w mut [Found<'t>],
    texts: &'w mut Texts,
    /// The fields that want the value's text have it.
    text_done: bool,
}

impl<'t> Walk<'_, 't> {
    /// Sets all fields that are this value; `None`: it is of another type.
    fn set(&mut self, value: impl Fn(Kind, &mut Texts) -> Option<Found<'t>>) {
        for &(place, kind) in self.tree.here.iter().filter(|(_, kind)| *kind != Kind::Json) {
            if let Some(found) = self.found.get_mut(place) {
                *found = value(kind, self.texts).unwrap_or(Found::Other);
            }
        }
    }

    fn text(&mut self, text: impl Fn(&mut Texts) -> Found<'t>, content: &str) {
        self.set(|kind, texts| match kind {
            Kind::Utf8 => Some(text(texts)),
            Kind::Timestamp if content.parse::<i64>().is_err() => {
                timestamp(content).map(|ms| Found::Value(Value::Whole(ms)))
            }
            _ => None,
        });
    }
}

impl<'t> DeserializeSeed<'t> for Walk<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(mut self, json: D) -> Result<(), D::Error> {
        // Of several members of one name the last counts, with all that is in it.
        for &place in &self.tree.within {
            if let Some(found) = self.found.get_mut(place) {
                *found = Found::Missing;
            }
        }
        if !self.tree.wants_text || self.text_done {
            return json.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(json)?.get();
        for &(place, _) in self.tree.here.iter().filter(|(_, kind)| *kind == Kind::Json) {
            if let (Some(found), true) = (self.found.get_mut(place), raw != "null") {
                *found = Found::Value(Value::Text(raw));
            }
        }
        if self.tree.is_leaf() && self.tree.here.iter().all(|(_, kind)| *kind == Kind::Json) {
            return Ok(());
        }
        self.text_done = true;
        self.again(raw).map_err(D::Error::custom)
    }
}

impl<'t> Walk<'_, 't> {
    /// Reads the value, whose text is known to be JSON, for the fields that do not want that.
    fn again(self, raw: &'t str) -> Result<(), serde_json_alloc::Error> {
        serde_core::Deserializer::deserialize_any(&mut serde_json_alloc::Deserializer::from_str(raw), self)
    }
}

impl<'t> Visitor<'t> for Walk<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.set(|kind, _| (kind == Kind::Boolean).then_some(Found::Value(Value::Boolean(value))));
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.set(|kind, _| match kind {
            Kind::Int64 | Kind::Timestamp => Some(Found::Value(Value::Whole(value))),
            Kind::Float64 => Some(Found::Value(Value::Float(value as f64))),
            _ => None,
        });
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        if let Ok(value) = i64::try_from(value) {
            return self.visit_i64(value);
        }
        self.set(|kind, _| (kind == Kind::Float64).then_some(Found::Value(Value::Float(value as f64))));
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        // 2 to the power of 63 is the first that an int64 does not hold.
        const END: f64 = 9_223_372_036_854_775_808.0;
        let whole = (value as i64 as f64 == value && (-END..END).contains(&value)).then_some(value as i64);
        self.set(|kind, _| match kind {
            Kind::Int64 | Kind::Timestamp => whole.map(|value| Found::Value(Value::Whole(value))),
            Kind::Float64 => Some(Found::Value(Value::Float(value))),
            _ => None,
        });
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(mut self, value: &'t str) -> Result<(), E> {
        self.text(|_| Found::Value(Value::Text(value)), value);
        Ok(())
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.text(|texts| Found::Text(texts.add(value)), value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.set(|_, _| None);
        for number in 0.. {
            let tree = self.tree.elements.iter().find(|(wanted, _)| *wanted == number).map(|(_, tree)| tree);
            let more = match tree {
                None => items.next_element::<IgnoredAny>()?.is_some(),
                Some(tree) => {
                    let walk = Walk { tree, found: self.found, texts: self.texts, text_done: false };
                    items.next_element_seed(walk)?.is_some()
                }
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.set(|_, _| None);
        while let Some(tree) = members.next_key_seed(Name(self.tree))? {
            match tree {
                None => drop(members.next_value::<IgnoredAny>()?),
                Some(tree) => {
                    members.next_value_seed(Walk { tree, found: self.found, texts: self.texts, text_done: false })?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a member, to be looked up.
struct Name<'w>(&'w Tree);

impl<'t, 'w> DeserializeSeed<'t> for Name<'w> {
    type Value = Option<&'w Tree>;

    fn deserialize<D: Deserializer<'t>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl<'w> Visitor<'_> for Name<'w> {
    type Value = Option<&'w Tree>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.members.iter().find(|(wanted, _)| wanted == name).map(|(_, tree)| tree))
    }
}
