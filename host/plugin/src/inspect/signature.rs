//! The types of an interface, written as WIT writes them.

use std::{cell::Cell, collections::HashMap, fmt::Write};

use serde::{Deserialize, Serialize};
use wasmparser::{
    component_types::{
        ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentFuncType,
        ComponentValType,
    },
    types::TypesRef,
};

/// Types inside of types, at most: deeper ones are written `...`.
const DEPTH_MAX: u32 = 8;

/// The same where no type is written by its name. The contract's go nine deep.
const STRUCTURE_DEPTH_MAX: u32 = 32;

/// Bytes written for the imports of a component, at most, and for its exports; what comes after them is written `...`. Types
/// share their parts and names can be long, so that a small component can describe a very large type.
const TEXT_BYTES_MAX: usize = 512 << 10;

/// Bytes that a type is counted with beside its name: brackets and commas.
const TYPE_BYTES: usize = 8;

/// Functions listed for one interface, at most.
const FUNCTIONS_MAX: usize = 200;

/// An interface of a component and its functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// With package and version, such as `wasi:io/streams@0.2.6`.
    pub name: String,
    /// Name and signature, such as `write` and `func(level: level, message: string)`.
    pub functions: Vec<(String, String)>,
}

/// The names that interfaces have given to types.
pub(super) struct Names {
    types: HashMap<ComponentAnyTypeId, String>,
    depth_max: u32,
    written: Cell<usize>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { types: HashMap::new(), depth_max: DEPTH_MAX, written: Cell::new(0) }
    }

    /// None, so that every type is written as what it is made of.
    pub(super) fn none() -> Self {
        Self { depth_max: STRUCTURE_DEPTH_MAX, ..Self::new() }
    }

    /// As much room for what comes now as at the beginning.
    pub(super) fn make_room(&self) {
        self.written.set(0);
    }

    /// The functions of an interface as what they take and give, whatever names types and parameters have: two are equal
    /// exactly if one can be called as the other.
    pub(super) fn structures(&self, types: TypesRef<'_>, entity: ComponentEntityType) -> Vec<(String, String)> {
        let ComponentEntityType::Instance(id) = entity else { return Vec::new() };
        let functions = types[id].exports.iter().filter_map(|(name, item)| match item.ty {
            ComponentEntityType::Func(id) => Some((name.clone(), self.structure(types, &types[id]))),
            _ => None,
        });
        functions.take_while(|(name, _)| self.has_room(name)).take(FUNCTIONS_MAX).collect()
    }

    /// Counts a text that is written, and says whether there was still room for it.
    fn has_room(&self, text: &str) -> bool {
        self.written.set(self.written.get().saturating_add(text.len() + TYPE_BYTES));
        self.written.get() <= TEXT_BYTES_MAX
    }

    /// A name where there is room for it.
    fn shown<'a>(&self, name: &'a str) -> &'a str {
        if self.has_room(name) { name } else { "..." }
    }

    fn structure(&self, types: TypesRef<'_>, function: &ComponentFuncType) -> String {
        let params: Vec<String> = function.params.iter().map(|(_, ty)| self.value(types, ty, 0)).collect();
        let result = function.result.as_ref().map_or_else(String::new, |r| format!(" -> {}", self.value(types, r, 0)));
        format!("{}func({}){result}", if function.async_ { "async " } else { "" }, params.join(", "))
    }

    /// Takes down the names of its types, then its functions.
    pub(super) fn interface(&mut self, types: TypesRef<'_>, name: &str, entity: ComponentEntityType) -> Interface {
        let mut functions = Vec::new();
        if let ComponentEntityType::Instance(id) = entity {
            for (name, item) in &types[id].exports {
                match item.ty {
                    ComponentEntityType::Type { created, .. } => {
                        self.types.insert(created, name.clone());
                    }
                    ComponentEntityType::Func(id) if functions.len() < FUNCTIONS_MAX && self.has_room(name) => {
                        functions.push((name.clone(), self.function(types, &types[id])));
                    }
                    _ => {}
                }
            }
        }
        Interface { name: name.to_owned(), functions }
    }

    fn function(&self, types: TypesRef<'_>, function: &ComponentFuncType) -> String {
        let mut text = String::from(if function.async_ { "async func(" } else { "func(" });
        for (i, (name, ty)) in function.params.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(text, "{comma}{}: {}", self.shown(name), self.value(types, ty, 0))
                .expect("a string takes all that is written");
        }
        text.push(')');
        if let Some(result) = &function.result {
            text.push_str(" -> ");
            text.push_str(&self.value(types, result, 0));
        }
        text
    }

    fn value(&self, types: TypesRef<'_>, ty: &ComponentValType, depth: u32) -> String {
        match ty {
            ComponentValType::Primitive(primitive) => self.shown(&primitive.to_string()).into(),
            ComponentValType::Type(id) => self.defined(types, *id, depth),
        }
    }

    fn defined(&self, types: TypesRef<'_>, id: ComponentDefinedTypeId, depth: u32) -> String {
        if let Some(name) = self.types.get(&ComponentAnyTypeId::Defined(id)) {
            return self.shown(name).into();
        }
        if !self.has_room("") || depth >= self.depth_max {
            return "...".into();
        }
        let inner = |ty: &ComponentValType| self.value(types, ty, depth + 1);
        let maybe = |ty: &Option<ComponentValType>| ty.as_ref().map_or_else(|| "_".into(), inner);
        match &types[id] {
            ComponentDefinedType::Primitive(primitive) => primitive.to_string(),
            ComponentDefinedType::List { element, .. } => format!("list<{}>", inner(element)),
            ComponentDefinedType::Option { ty, .. } => format!("option<{}>", inner(ty)),
            ComponentDefinedType::Tuple(tuple) => {
                format!("tuple<{}>", tuple.types.iter().map(inner).collect::<Vec<_>>().join(", "))
            }
            ComponentDefinedType::Result { ok: None, err: None, .. } => "result".into(),
            ComponentDefinedType::Result { ok: Some(ok), err: None, .. } => format!("result<{}>", inner(ok)),
            ComponentDefinedType::Result { ok, err, .. } => format!("result<{}, {}>", maybe(ok), maybe(err)),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| format!("{}: {}", self.shown(name), inner(ty)));
                format!("record {{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            ComponentDefinedType::Variant(variant) => {
                let case =
                    |ty: &Option<ComponentValType>| ty.as_ref().map_or_else(String::new, |t| format!("({})", inner(t)));
                let cases = variant.cases.iter().map(|(name, c)| format!("{}{}", self.shown(name), case(&c.ty)));
                format!("variant {{ {} }}", cases.collect::<Vec<_>>().join(", "))
            }
            ComponentDefinedType::Flags(names) => set("flags", names.iter().map(|n| self.shown(n))),
            ComponentDefinedType::Enum(names) => set("enum", names.iter().map(|n| self.shown(n))),
            ComponentDefinedType::Own(id) => self.resource(ComponentAnyTypeId::Resource(*id)),
            ComponentDefinedType::Borrow(id) => format!("borrow<{}>", self.resource(ComponentAnyTypeId::Resource(*id))),
            // The engine runs none of the others.
            _ => "...".into(),
        }
    }

    fn resource(&self, id: ComponentAnyTypeId) -> String {
        self.types.get(&id).map_or("resource", |name| self.shown(name)).into()
    }
}

fn set<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!("{kind} {{ {} }}", names.collect::<Vec<_>>().join(", "))
}
