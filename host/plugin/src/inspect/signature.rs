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

/// Types written for one component, at most; all further ones are written `...`. Types share their parts, so that a
/// small component can describe a very large type.
const TYPES_MAX: u32 = 20_000;

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
    written: Cell<u32>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { types: HashMap::new(), depth_max: DEPTH_MAX, written: Cell::new(0) }
    }

    /// The functions of an interface as what they take and give, whatever names types and parameters have: two are equal
    /// exactly if one can be called as the other.
    pub(super) fn structures(types: TypesRef<'_>, entity: ComponentEntityType) -> Vec<(String, String)> {
        let names = Self { types: HashMap::new(), depth_max: STRUCTURE_DEPTH_MAX, written: Cell::new(0) };
        let ComponentEntityType::Instance(id) = entity else { return Vec::new() };
        let functions = types[id].exports.iter().filter_map(|(name, item)| match item.ty {
            ComponentEntityType::Func(id) => Some((name.clone(), names.structure(types, &types[id]))),
            _ => None,
        });
        functions.take(FUNCTIONS_MAX).collect()
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
                    ComponentEntityType::Func(id) if functions.len() < FUNCTIONS_MAX => {
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
            write!(text, "{comma}{name}: {}", self.value(types, ty, 0)).expect("a string takes all that is written");
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
            ComponentValType::Primitive(primitive) => primitive.to_string(),
            ComponentValType::Type(id) => self.defined(types, *id, depth),
        }
    }

    fn defined(&self, types: TypesRef<'_>, id: ComponentDefinedTypeId, depth: u32) -> String {
        if let Some(name) = self.types.get(&ComponentAnyTypeId::Defined(id)) {
            return name.clone();
        }
        self.written.set(self.written.get() + 1);
        if depth >= self.depth_max || self.written.get() > TYPES_MAX {
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
                let fields = record.fields.iter().map(|(name, ty)| format!("{name}: {}", inner(ty)));
                format!("record {{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            ComponentDefinedType::Variant(variant) => {
                let case =
                    |ty: &Option<ComponentValType>| ty.as_ref().map_or_else(String::new, |t| format!("({})", inner(t)));
                let cases = variant.cases.iter().map(|(name, c)| format!("{name}{}", case(&c.ty)));
                format!("variant {{ {} }}", cases.collect::<Vec<_>>().join(", "))
            }
            ComponentDefinedType::Flags(names) => set("flags", names.iter().map(|n| n.as_str())),
            ComponentDefinedType::Enum(names) => set("enum", names.iter().map(|n| n.as_str())),
            ComponentDefinedType::Own(id) => self.resource(ComponentAnyTypeId::Resource(*id)),
            ComponentDefinedType::Borrow(id) => format!("borrow<{}>", self.resource(ComponentAnyTypeId::Resource(*id))),
            // The engine runs none of the others.
            _ => "...".into(),
        }
    }

    fn resource(&self, id: ComponentAnyTypeId) -> String {
        self.types.get(&id).cloned().unwrap_or_else(|| "resource".into())
    }
}

fn set<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!("{kind} {{ {} }}", names.collect::<Vec<_>>().join(", "))
}
