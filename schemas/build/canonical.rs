//! Self-contained schema texts, their parsing canonical form and CRC-64-AVRO fingerprint (Avro 1.12, "Parsing
//! Canonical Form for Schemas").

use crate::model::{Set, short};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// `schema` with every name that another file defines replaced by its definition where it first occurs.
pub fn expand(schema: &Value, set: &Set) -> Value {
    expand_seen(schema, set, &mut BTreeSet::new())
}

fn expand_seen(value: &Value, set: &Set, seen: &mut BTreeSet<String>) -> Value {
    match value {
        Value::String(name) => match set.json.get(short(name)) {
            Some(definition) if !seen.contains(short(name)) => expand_seen(definition, set, seen),
            _ => value.clone(),
        },
        Value::Array(branches) => branches.iter().map(|b| expand_seen(b, set, seen)).collect(),
        Value::Object(object) => {
            if let (Some(Value::String(name)), true) = (object.get("name"), object.contains_key("namespace"))
                && !seen.insert(name.clone())
            {
                return Value::String(full(name));
            }
            let mut whole = Map::new();
            for (key, inner) in object {
                let inner = match (key.as_str(), inner) {
                    ("items", _) => expand_seen(inner, set, seen),
                    ("fields", Value::Array(fields)) => fields
                        .iter()
                        .map(|field| {
                            let mut field = field.clone();
                            field["type"] = expand_seen(&field["type"], set, seen);
                            field
                        })
                        .collect(),
                    _ => inner.clone(),
                };
                whole.insert(key.clone(), inner);
            }
            Value::Object(whole)
        }
        other => other.clone(),
    }
}

/// Parsing canonical form.
pub fn form(value: &Value) -> String {
    match value {
        Value::String(name) => format!("\"{}\"", full(name)),
        Value::Array(branches) => {
            format!("[{}]", branches.iter().map(form).collect::<Vec<_>>().join(","))
        }
        Value::Object(object) => {
            let kind = object["type"].as_str().unwrap_or_default();
            let name = object.get("name").and_then(Value::as_str).map(full).unwrap_or_default();
            match kind {
                "record" => {
                    let fields = object["fields"].as_array().into_iter().flatten();
                    let fields: Vec<String> =
                        fields.map(|f| format!("{{\"name\":{},\"type\":{}}}", f["name"], form(&f["type"]))).collect();
                    format!("{{\"name\":\"{name}\",\"type\":\"record\",\"fields\":[{}]}}", fields.join(","))
                }
                "enum" => format!("{{\"name\":\"{name}\",\"type\":\"enum\",\"symbols\":{}}}", object["symbols"]),
                "fixed" => format!("{{\"name\":\"{name}\",\"type\":\"fixed\",\"size\":{}}}", object["size"]),
                "array" => format!("{{\"type\":\"array\",\"items\":{}}}", form(&object["items"])),
                primitive => format!("\"{primitive}\""),
            }
        }
        other => other.to_string(),
    }
}

fn full(name: &str) -> String {
    let primitive = matches!(name, "null" | "boolean" | "int" | "long" | "float" | "double" | "bytes" | "string");
    if primitive || name.contains('.') { name.to_owned() } else { format!("tandem.{name}") }
}

/// CRC-64-AVRO, little endian as single-object encoding has it.
pub fn fingerprint(canonical: &str) -> [u8; 8] {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let mut crc = EMPTY;
    for byte in canonical.bytes() {
        let mut row = (crc ^ u64::from(byte)) & 0xff;
        for _ in 0..8 {
            row = (row >> 1) ^ if row & 1 == 1 { EMPTY } else { 0 };
        }
        crc = (crc >> 8) ^ row;
    }
    crc.to_le_bytes()
}
