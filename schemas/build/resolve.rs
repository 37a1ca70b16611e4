//! Readers: the Rust expression that reads what a writer's schema wrote into what the current schema holds. For the
//! current schema both are the same; for an old one this is Avro's schema resolution, done at build time.

use crate::emit::{branch_name, camel, ident, life, snake, union_name};
use crate::model::{Def, Field, Set, Type, short, text};
use crate::refuse;
use serde_json::Value;
use std::fmt::Write;

/// Expression of the reader's Rust type. `tag` is empty for the current schema, else names the old one.
pub fn read(writer: &Type, ws: &Set, reader: &Type, rs: &Set, tag: &str, label: &str) -> String {
    match (writer, reader) {
        (Type::Null, Type::Null) => "()".to_owned(),
        (Type::Bool, Type::Bool) => format!("r.boolean({label:?})?"),
        (Type::Integer(_), Type::Integer(name)) => match name.as_str() {
            "i64" => format!("r.long({label:?})?"),
            "i32" | "u8" | "u16" | "u32" | "u64" => format!("r.integer::<{name}>({label:?})?"),
            other => refuse(format_args!("{label}: integer {other} is not known")),
        },
        (Type::Bytes, Type::Bytes) => format!("r.bytes({label:?})?"),
        (Type::Text(_), Type::Text(None)) => format!("r.text({label:?})?"),
        (Type::Text(_), Type::Text(Some(kind))) => format!("r.{kind}({label:?})?"),
        (Type::Decimal, Type::Decimal) => format!("r.decimal({label:?})?"),
        (Type::Named(w), Type::Named(n)) if w == n => named(n, ws, rs, tag, label),
        (Type::Array(w, _), Type::Array(n, inline)) => {
            let new = if *inline == 0 { "Vec::new()" } else { "SmallVec::new()" };
            format!(
                "{{ let mut list = {new}; loop {{ let n = r.block({}, {label:?})?; if n == 0 {{ break; }} \
                 list.reserve(n); for _ in 0..n {{ list.push({}); }} }} list }}",
                ws.least(w),
                read(w, ws, n, rs, tag, label)
            )
        }
        (Type::Nullable(w), Type::Nullable(n)) => {
            format!("match r.branch(2, {label:?})? {{ 0 => None, _ => Some({}) }}", read(w, ws, n, rs, tag, label))
        }
        (Type::Null, Type::Nullable(_)) => "None".to_owned(),
        (w, Type::Nullable(n)) => format!("Some({})", read(w, ws, n, rs, tag, label)),
        (Type::Union(w), Type::Union(n)) => union(w, ws, n, rs, tag, label),
        (w, n) => refuse(format_args!("{label}: {w:?} cannot be read as {n:?}")),
    }
}

fn named(name: &str, ws: &Set, rs: &Set, tag: &str, label: &str) -> String {
    match (ws.def(name), rs.def(name)) {
        (Def::Fixed(a), Def::Fixed(b)) if a == b => format!("r.fixed::<{a}>({label:?})?"),
        (Def::Enum { .. }, Def::Enum { .. }) if tag.is_empty() => format!("get_{}(r, {label:?})?", snake(name)),
        (Def::Enum { symbols: old, .. }, Def::Enum { symbols: new, default, rust }) => {
            let mut arms = String::new();
            for (at, symbol) in old.iter().enumerate() {
                let known = if new.contains(symbol) { Some(symbol) } else { default.as_ref() };
                let _ = match known {
                    Some(symbol) => write!(arms, "{at} => {rust}::{},", camel(symbol)),
                    None => write!(arms, "{at} => return Err(r.error({label:?}, Problem::UnknownSymbol)),"),
                };
            }
            format!(
                "match r.symbol({}, {label:?})? {{ {arms} _ => return Err(r.error({label:?}, Problem::UnknownSymbol)) }}",
                old.len()
            )
        }
        (Def::Record { .. }, Def::Record { .. }) if tag.is_empty() => format!("{name}::read(r)?"),
        (Def::Record { .. }, Def::Record { .. }) => format!("{tag}_{}(r)?", snake(name)),
        _ => refuse(format_args!("{label}: {name} is not of the same kind in the old schema and the current one")),
    }
}

fn union(w: &[Type], ws: &Set, n: &[Type], rs: &Set, tag: &str, label: &str) -> String {
    let (record, field) = label.split_once('.').unwrap_or((label, ""));
    let enum_name = union_name(record, field);
    let mut arms = String::new();
    for (at, branch) in w.iter().enumerate() {
        let name = branch_name(branch);
        let _ = match n.iter().find(|b| branch_name(b) == name) {
            Some(Type::Null) => write!(arms, "{at} => {enum_name}::Null,"),
            Some(reader) => {
                write!(arms, "{at} => {enum_name}::{name}({}),", read(branch, ws, reader, rs, tag, label))
            }
            None => write!(arms, "{at} => return Err(r.error({label:?}, Problem::UnknownBranch)),"),
        };
    }
    format!(
        "match r.branch({}, {label:?})? {{ {arms} _ => return Err(r.error({label:?}, Problem::UnknownBranch)) }}",
        w.len()
    )
}

/// `decode_NAME` for an old schema, with a function per record of it.
pub fn decoder(name: &str, json: &Value, ws: &Set, rs: &Set) -> String {
    let tag = snake(name);
    let root = short(text(json, "name"));
    let life = if life(rs, &Type::Named(root.to_owned())).is_empty() { "" } else { "<'_>" };
    let mut code = format!(
        "/// Reads a body that `{name}` wrote; what it did not say takes the current schema's default.\n\
         pub fn decode_{tag}(bytes: &[u8]) -> Result<{root}{life}, DecodeError> {{\n\
         Reader::whole(bytes, \"{root}\", {tag}_{})\n}}\n",
        snake(root)
    );
    for (record, def) in &ws.defs {
        if let (Def::Record { fields: old, .. }, Some(Def::Record { fields: new, .. })) = (def, rs.defs.get(record)) {
            function(&mut code, &tag, record, (old, ws), (new, rs));
        }
    }
    code
}

fn function(code: &mut String, tag: &str, record: &str, (old, ws): (&[Field], &Set), (new, rs): (&[Field], &Set)) {
    let fun = snake(record);
    let _ = if life(rs, &Type::Named(record.to_owned())).is_empty() {
        writeln!(code, "fn {tag}_{fun}(r: &mut Reader<'_>) -> Result<{record}, Stop> {{")
    } else {
        writeln!(code, "fn {tag}_{fun}<'a>(r: &mut Reader<'a>) -> Result<{record}<'a>, Stop> {{")
    };
    for field in old {
        let label = format!("{record}.{}", field.name);
        let _ = match new.iter().find(|f| f.name == field.name) {
            Some(reader) => {
                writeln!(code, "let {} = {};", ident(&field.name), read(&field.typ, ws, &reader.typ, rs, tag, &label))
            }
            None => writeln!(code, "{}", skip(&field.typ, ws, &label)),
        };
    }
    let _ = writeln!(code, "Ok({record} {{");
    for field in new {
        let id = ident(&field.name);
        let _ = if old.iter().any(|f| f.name == field.name) {
            writeln!(code, "{id},")
        } else {
            let Some(default) = &field.default else {
                refuse(format_args!("{record}.{} is new and has no default: {tag} could not be read", field.name))
            };
            writeln!(code, "{id}: {},", default_value(&field.typ, default, rs))
        };
    }
    code.push_str("})\n}\n");
}

/// Statement that passes over a value that the current schema no longer has.
fn skip(typ: &Type, ws: &Set, label: &str) -> String {
    match typ {
        Type::Null => String::new(),
        Type::Bool => format!("r.boolean({label:?})?;"),
        Type::Integer(_) => format!("r.long({label:?})?;"),
        Type::Bytes | Type::Text(_) | Type::Decimal => format!("r.bytes({label:?})?;"),
        Type::Named(name) => match ws.def(name) {
            Def::Fixed(size) => format!("r.fixed::<{size}>({label:?})?;"),
            Def::Enum { symbols, .. } => format!("r.symbol({}, {label:?})?;", symbols.len()),
            Def::Record { fields, .. } => fields.iter().map(|f| skip(&f.typ, ws, label)).collect(),
        },
        Type::Array(item, _) => format!(
            "loop {{ let n = r.block({}, {label:?})?; if n == 0 {{ break; }} for _ in 0..n {{ {} }} }}",
            ws.least(item),
            skip(item, ws, label)
        ),
        Type::Nullable(inner) => {
            format!("if r.branch(2, {label:?})? == 1 {{ {} }}", skip(inner, ws, label))
        }
        Type::Union(branches) => {
            let mut arms = String::new();
            for (at, branch) in branches.iter().enumerate() {
                let _ = write!(arms, "{at} => {{ {} }}", skip(branch, ws, label));
            }
            format!("match r.branch({}, {label:?})? {{ {arms} _ => {{}} }}", branches.len())
        }
    }
}

/// The Rust of a field's default (Avro: of the first branch for a union).
fn default_value(typ: &Type, json: &Value, rs: &Set) -> String {
    match (typ, json) {
        (Type::Nullable(_), Value::Null) => "None".to_owned(),
        (Type::Bool, Value::Bool(value)) => value.to_string(),
        (Type::Integer(_), Value::Number(number)) => number.to_string(),
        (Type::Text(None), Value::String(text)) => format!("{text:?}"),
        (Type::Array(_, inline), Value::Array(items)) if items.is_empty() => {
            if *inline == 0 {
                "Vec::new()".to_owned()
            } else {
                "SmallVec::new()".to_owned()
            }
        }
        (Type::Named(name), _) => match (rs.def(name), json) {
            (Def::Enum { rust, .. }, Value::String(symbol)) => format!("{rust}::{}", camel(symbol)),
            (Def::Record { fields, .. }, Value::Object(given)) => {
                let mut code = format!("{name} {{ ");
                for field in fields {
                    let default = given.get(&field.name).or(field.default.as_ref());
                    let Some(default) = default else {
                        refuse(format_args!("default of {name} does not give {}", field.name))
                    };
                    let _ = write!(code, "{}: {},", ident(&field.name), default_value(&field.typ, default, rs));
                }
                code + " }"
            }
            _ => refuse(format_args!("{json} is no default for {name}")),
        },
        _ => refuse(format_args!("{json} is no default for {typ:?}")),
    }
}
