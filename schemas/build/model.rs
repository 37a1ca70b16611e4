//! What an `.avsc` says, as far as our schemas use Avro. The attribute `rust` on a type names the Rust type that
//! holds it (`u32`, `prefix`, an enum of `facts`); `inline` on an array is how many items stay off the heap.

use crate::refuse;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Null,
    Bool,
    /// `int` or `long`; the name of the Rust integer.
    Integer(String),
    Bytes,
    /// `None` = `&str`, else `prefix`, `currency`, `number`.
    Text(Option<String>),
    Decimal,
    Named(String),
    Array(Box<Type>, usize),
    /// `["null", T]`.
    Nullable(Box<Type>),
    Union(Vec<Type>),
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub doc: String,
    pub typ: Type,
    pub default: Option<Value>,
}

#[derive(Clone, Debug)]
pub enum Def {
    Record { doc: String, fields: Vec<Field> },
    Enum { symbols: Vec<String>, default: Option<String>, rust: String },
    Fixed(usize),
}

/// All named types of a group of files that refer to one another.
pub struct Set {
    pub defs: BTreeMap<String, Def>,
    /// The definitions as they stand, for writing self-contained texts.
    pub json: BTreeMap<String, Value>,
}

/// Without the namespace: we have one.
pub fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| refuse(format_args!("no `{key}` in {value}")))
}

impl Set {
    pub fn new<'v>(roots: impl Iterator<Item = &'v Value>) -> Self {
        let mut set = Self { defs: BTreeMap::new(), json: BTreeMap::new() };
        for root in roots {
            set.read(root);
        }
        for (name, def) in &set.defs {
            if let Def::Record { fields, .. } = def {
                for field in fields {
                    set.check(&field.typ, name);
                }
            }
        }
        set
    }

    pub fn def(&self, name: &str) -> &Def {
        self.defs.get(name).unwrap_or_else(|| refuse(format_args!("type {name} is not defined")))
    }

    fn check(&self, typ: &Type, place: &str) {
        match typ {
            Type::Named(name) if !self.defs.contains_key(name) => {
                refuse(format_args!("{place} names {name}, which no file defines"))
            }
            Type::Array(item, _) => {
                if self.least(item) == 0 {
                    refuse(format_args!("{place}: items of no bytes could be claimed without end"));
                }
                self.check(item, place);
            }
            Type::Nullable(inner) => self.check(inner, place),
            Type::Union(branches) => branches.iter().for_each(|b| self.check(b, place)),
            _ => {}
        }
    }

    /// Fewest bytes that a value takes.
    pub fn least(&self, typ: &Type) -> usize {
        match typ {
            Type::Null => 0,
            Type::Named(name) => match self.def(name) {
                Def::Record { fields, .. } => fields.iter().map(|f| self.least(&f.typ)).sum(),
                Def::Enum { .. } => 1,
                Def::Fixed(size) => *size,
            },
            Type::Union(branches) => 1 + branches.iter().map(|b| self.least(b)).min().unwrap_or(0),
            _ => 1,
        }
    }

    fn read(&mut self, value: &Value) -> Type {
        match value {
            Value::String(name) => primitive(name).unwrap_or_else(|| Type::Named(short(name).to_owned())),
            Value::Array(branches) => {
                let mut types: Vec<Type> = branches.iter().map(|b| self.read(b)).collect();
                if types.len() == 2 && types[0] == Type::Null {
                    return Type::Nullable(Box::new(types.remove(1)));
                }
                Type::Union(types)
            }
            Value::Object(_) => self.read_object(value),
            other => refuse(format_args!("{other} is no type")),
        }
    }

    fn read_object(&mut self, value: &Value) -> Type {
        let rust = value["rust"].as_str();
        match text(value, "type") {
            "record" => {
                let fields = value["fields"].as_array().unwrap_or_else(|| refuse(format_args!("no fields in {value}")));
                let fields = fields
                    .iter()
                    .map(|field| Field {
                        name: text(field, "name").to_owned(),
                        doc: field["doc"].as_str().unwrap_or_default().to_owned(),
                        typ: self.read(&field["type"]),
                        default: field.get("default").cloned(),
                    })
                    .collect();
                self.define(value, Def::Record { doc: value["doc"].as_str().unwrap_or_default().to_owned(), fields })
            }
            "enum" => {
                let symbols =
                    value["symbols"].as_array().unwrap_or_else(|| refuse(format_args!("no symbols in {value}")));
                let symbols = symbols.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect();
                let default = value["default"].as_str().map(str::to_owned);
                let rust = rust.unwrap_or_else(|| refuse(format_args!("enum without `rust`: {value}"))).to_owned();
                self.define(value, Def::Enum { symbols, default, rust })
            }
            "fixed" => {
                let size = value["size"].as_u64().unwrap_or_else(|| refuse(format_args!("no size in {value}")));
                self.define(value, Def::Fixed(size as usize))
            }
            "array" => {
                let inline = value["inline"].as_u64().unwrap_or(0) as usize;
                Type::Array(Box::new(self.read(&value["items"])), inline)
            }
            "bytes" if value["logicalType"] == "decimal" => Type::Decimal,
            "string" => Type::Text(rust.map(str::to_owned)),
            "int" => Type::Integer(rust.unwrap_or("i32").to_owned()),
            "long" => Type::Integer(rust.unwrap_or("i64").to_owned()),
            other => refuse(format_args!("type {other} is not supported: {value}")),
        }
    }

    fn define(&mut self, value: &Value, def: Def) -> Type {
        let name = short(text(value, "name")).to_owned();
        if value["namespace"] != "tandem" {
            refuse(format_args!("{name} is not in the namespace tandem"));
        }
        if self.json.insert(name.clone(), value.clone()).is_some() {
            refuse(format_args!("{name} is defined twice; refer to it as tandem.{name}"));
        }
        self.defs.insert(name.clone(), def);
        Type::Named(name)
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Bool,
        "int" => Type::Integer("i32".to_owned()),
        "long" => Type::Integer("i64".to_owned()),
        "bytes" => Type::Bytes,
        "string" => Type::Text(None),
        _ => return None,
    })
}
