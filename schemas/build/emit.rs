//! Writes the Rust of the current schemas: types, readers, writers, texts.

use crate::canonical;
use crate::model::{Def, Field, Set, Type};
use crate::refuse;
use serde_json::Value;
use std::fmt::Write;

/// `half_up` -> `HalfUp`.
pub fn camel(word: &str) -> String {
    word.split(['_', '-', '.'])
        .map(|part| {
            let mut letters = part.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

/// `EventKind` -> `event_kind`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(if matches!(letter, '-' | '.') { '_' } else { letter.to_ascii_lowercase() });
    }
    out
}

/// Name of a field in Rust.
pub fn ident(name: &str) -> String {
    if matches!(name, "type" | "move" | "ref" | "use" | "in") { format!("r#{name}") } else { name.to_owned() }
}

pub fn union_name(record: &str, field: &str) -> String {
    format!("{record}{}", camel(field))
}

pub fn branch_name(branch: &Type) -> &str {
    match branch {
        Type::Null => "Null",
        Type::Named(name) => name,
        other => refuse(format_args!("a union of more than null and one may hold records only, not {other:?}")),
    }
}

/// Whether the Rust type of this one borrows from the bytes.
fn borrows(set: &Set, typ: &Type) -> bool {
    match typ {
        Type::Bytes | Type::Text(None) => true,
        Type::Named(name) => match set.def(name) {
            Def::Record { fields, .. } => fields.iter().any(|f| borrows(set, &f.typ)),
            _ => false,
        },
        Type::Array(inner, _) | Type::Nullable(inner) => borrows(set, inner),
        Type::Union(branches) => branches.iter().any(|b| borrows(set, b)),
        _ => false,
    }
}

pub fn life(set: &Set, typ: &Type) -> &'static str {
    if borrows(set, typ) { "<'a>" } else { "" }
}

fn rust_type(set: &Set, typ: &Type, record: &str, field: &str) -> String {
    match typ {
        Type::Null => "()".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Integer(name) => name.clone(),
        Type::Bytes => "&'a [u8]".to_owned(),
        Type::Text(None) => "&'a str".to_owned(),
        Type::Text(Some(kind)) => match kind.as_str() {
            "prefix" => "facts::Prefix".to_owned(),
            "currency" => "facts::Currency".to_owned(),
            "number" => "facts::E164".to_owned(),
            other => refuse(format_args!("text kind {other} is not known")),
        },
        Type::Decimal => "i128".to_owned(),
        Type::Named(name) => match set.def(name) {
            Def::Record { .. } => format!("{name}{}", life(set, typ)),
            Def::Enum { rust, .. } => rust.clone(),
            Def::Fixed(size) => format!("[u8; {size}]"),
        },
        Type::Array(item, inline) => {
            let item = rust_type(set, item, record, field);
            if *inline == 0 { format!("Vec<{item}>") } else { format!("SmallVec<[{item}; {inline}]>") }
        }
        Type::Nullable(inner) => format!("Option<{}>", rust_type(set, inner, record, field)),
        Type::Union(_) => format!("{}{}", union_name(record, field), life(set, typ)),
    }
}

/// Statement that writes `value` (an expression of reference type, or of a Copy type behind `*`).
fn write(set: &Set, typ: &Type, value: &str, record: &str, field: &str) -> String {
    match typ {
        Type::Null => format!("let () = *{value};"),
        Type::Bool => format!("out.push(u8::from(*{value}));"),
        Type::Integer(name) if name == "u64" => format!("codec::put_u64(out, *{value});"),
        Type::Integer(_) => format!("codec::put_long(out, i64::from(*{value}));"),
        Type::Bytes => format!("codec::put_bytes(out, {value});"),
        Type::Text(None) => format!("codec::put_bytes(out, {value}.as_bytes());"),
        Type::Text(Some(kind)) if kind == "prefix" => format!("codec::put_prefix(out, *{value});"),
        Type::Text(Some(_)) => format!("codec::put_bytes(out, {value}.as_str().as_bytes());"),
        Type::Decimal => format!("codec::put_decimal(out, *{value});"),
        Type::Named(name) => match set.def(name) {
            Def::Record { .. } => format!("{value}.encode(out);"),
            Def::Enum { .. } => format!("put_{}(out, *{value});", snake(name)),
            Def::Fixed(_) => format!("out.extend_from_slice({value});"),
        },
        Type::Array(item, _) => format!(
            "if !{value}.is_empty() {{ codec::put_count(out, {value}.len()); for item in {value}.iter() {{ {} }} }} out.push(0);",
            write(set, item, "item", record, field)
        ),
        Type::Nullable(inner) => format!(
            "match {value} {{ None => out.push(0), Some(some) => {{ out.push(2); {} }} }}",
            write(set, inner, "some", record, field)
        ),
        Type::Union(branches) => {
            let mut arms = String::new();
            for (at, branch) in branches.iter().enumerate() {
                let name = branch_name(branch);
                let enum_name = union_name(record, field);
                let _ = if *branch == Type::Null {
                    write!(arms, "{enum_name}::Null => out.push({}),", at * 2)
                } else {
                    write!(arms, "{enum_name}::{name}(some) => {{ out.push({}); some.encode(out); }}", at * 2)
                };
            }
            format!("match {value} {{ {arms} }}")
        }
    }
}

/// Everything that `wire` holds for the current schemas.
pub fn types(set: &Set) -> String {
    let mut code = String::new();
    for (name, def) in &set.defs {
        match def {
            Def::Fixed(_) => {}
            Def::Enum { symbols, rust, .. } => enumeration(&mut code, name, symbols, rust),
            Def::Record { doc, fields } => {
                record(&mut code, set, name, doc, fields);
                for field in fields {
                    let whole = if let Type::Array(item, _) = &field.typ { item } else { &field.typ };
                    if let Type::Union(branches) = whole {
                        union(&mut code, set, name, field, branches);
                    }
                }
            }
        }
    }
    code
}

fn enumeration(code: &mut String, name: &str, symbols: &[String], rust: &str) {
    let fun = snake(name);
    let (mut get, mut put) = (String::new(), String::new());
    for (at, symbol) in symbols.iter().enumerate() {
        let variant = camel(symbol);
        let _ = write!(get, "{at} => {rust}::{variant},");
        let _ = write!(put, "{rust}::{variant} => {},", at * 2);
    }
    let _ = write!(
        code,
        "#[inline]\nfn get_{fun}(r: &mut Reader<'_>, field: &'static str) -> Result<{rust}, Stop> {{\n\
         Ok(match r.symbol({}, field)? {{ {get} _ => return Err(r.error(field, Problem::UnknownSymbol)) }})\n}}\n\
         #[inline]\nfn put_{fun}(out: &mut Vec<u8>, value: {rust}) {{\nout.push(match value {{ {put} }});\n}}\n",
        symbols.len()
    );
}

fn record(code: &mut String, set: &Set, name: &str, doc: &str, fields: &[Field]) {
    let typ = Type::Named(name.to_owned());
    let life = life(set, &typ);
    let _ = write!(code, "/// {doc}\n#[derive(Clone, Debug, PartialEq)]\npub struct {name}{life} {{\n");
    for field in fields {
        let typ = rust_type(set, &field.typ, name, &field.name);
        let _ = write!(code, "/// {}\npub {}: {typ},\n", field.doc, ident(&field.name));
    }
    let (mut reads, mut inits, mut writes) = (String::new(), String::new(), String::new());
    for field in fields {
        let (id, label) = (ident(&field.name), format!("{name}.{}", field.name));
        let read = crate::resolve::read(&field.typ, set, &field.typ, set, "", &label);
        let _ = writeln!(reads, "let {id} = {read};");
        let _ = write!(inits, "{id},");
        let _ = writeln!(writes, "{}", write(set, &field.typ, &format!("(&self.{id})"), name, &field.name));
    }
    let (generic, input) = if life.is_empty() { ("", "'_") } else { ("<'a>", "'a") };
    let bytes = if life.is_empty() { "&[u8]" } else { "&'a [u8]" };
    let _ = write!(
        code,
        "}}\nimpl{generic} {name}{life} {{\n\
         /// Reads a whole body; bytes left over are refused.\n\
         pub fn decode(bytes: {bytes}) -> Result<Self, DecodeError> {{\n\
         Reader::whole(bytes, \"{name}\", Self::read)\n}}\n\
         /// Reads one value and leaves the reader behind it.\n\
         #[inline]\npub fn read(r: &mut Reader<{input}>) -> Result<Self, Stop> {{\n{reads}Ok(Self {{ {inits} }})\n}}\n\
         /// Appends the Avro body.\n\
         pub fn encode(&self, out: &mut Vec<u8>) {{\n{writes}}}\n}}\n"
    );
}

fn union(code: &mut String, set: &Set, record: &str, field: &Field, branches: &[Type]) {
    let life = life(set, &field.typ);
    let _ = write!(
        code,
        "/// {}\n#[derive(Clone, Debug, PartialEq)]\npub enum {}{life} {{\n",
        field.doc,
        union_name(record, &field.name)
    );
    for branch in branches {
        let name = branch_name(branch);
        let _ = if *branch == Type::Null {
            writeln!(code, "/// Nothing.\nNull,")
        } else {
            writeln!(code, "/// See [`{name}`].\n{name}({}),", rust_type(set, branch, record, &field.name))
        };
    }
    code.push_str("}\n");
    let _ = writeln!(code, "impl{life} {}{life} {{", union_name(record, &field.name));
    for (at, branch) in branches.iter().enumerate() {
        let constant = snake(branch_name(branch)).to_ascii_uppercase();
        let _ = writeln!(code, "/// What stands before this branch.\npub const {constant}: u8 = {};", at * 2);
    }
    code.push_str("}\n");
}

/// Texts, canonical forms and fingerprints by schema name.
pub fn texts(all: &[(String, Value)]) -> String {
    let mut code = String::from(
        "/// Name, self-contained text, canonical form, fingerprint.\n\
         pub type Text = (&'static str, &'static str, &'static str, [u8; 8]);\n\
         /// Every schema, old ones too.\n",
    );
    let _ = writeln!(code, "pub const TEXTS: [Text; {}] = [", all.len());
    for (name, schema) in all {
        let form = canonical::form(schema);
        let print = canonical::fingerprint(&form);
        let _ = writeln!(code, "({name:?}, {:?}, {form:?}, {print:?}),", schema.to_string());
    }
    code.push_str("];\n");
    for (name, schema) in all {
        let print = canonical::fingerprint(&canonical::form(schema));
        let constant = snake(name).to_ascii_uppercase();
        let _ = writeln!(code, "/// Fingerprint of `{name}`.\npub const {constant}: [u8; 8] = {print:?};");
    }
    code
}
