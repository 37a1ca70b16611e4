//! Arbitrary Avro values for any of our schemas, drawn from a tape of bytes so that proptest can shrink them; a tape
//! that has run out gives the simplest value.

use crate::ids::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{AvroResult, Decimal, Schema as Avro};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub struct Tape<'t> {
    bytes: std::slice::Iter<'t, u8>,
}

impl<'t> Tape<'t> {
    pub fn new(bytes: &'t [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    /// Often small, sometimes at the ends of the range.
    fn long(&mut self) -> i64 {
        match self.byte() {
            shape @ 0..=199 => i64::from(shape % 100) - if shape < 100 { 0 } else { 100 },
            200..=209 => i64::MIN,
            210..=219 => i64::MAX,
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())) >> (self.byte() % 60),
        }
    }

    fn integer(&mut self, least: i64, most: i64) -> i64 {
        let value = self.long();
        if value < least || value > most { if value < 0 { least } else { most } } else { value }
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 8] = ["a", "acme-wholesale", "49301234", "", "Ж", "\u{1f4de}", "0", "192.0.2.7"];
        (0..self.byte() % 4).map(|_| PIECES[usize::from(self.byte() % 8)]).collect()
    }

    fn digits(&mut self, most: u8) -> String {
        (0..self.byte() % (most + 1)).map(|_| char::from(b'0' + self.byte() % 10)).collect()
    }
}

/// A schema as we wrote it (with our `rust` attributes) and as apache-avro understands it.
pub struct Model {
    pub avro: Avro,
    json: Json,
    named: BTreeMap<String, Json>,
}

/// Parsing takes longer than all else a test does.
static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| Schema::ALL.map(Model::new).into());

impl Model {
    pub fn of(schema: Schema) -> &'static Self {
        &MODELS[schema as usize]
    }

    fn new(schema: Schema) -> Self {
        let json: Json = serde_json::from_str(schema.text()).unwrap();
        let mut named = BTreeMap::new();
        collect(&json, &mut named);
        Self { avro: Avro::parse_str(schema.text()).unwrap(), json, named }
    }

    /// apache-avro's bytes.
    pub fn write(&self, value: Value) -> Vec<u8> {
        GenericDatumWriter::builder(&self.avro).build().unwrap().write_value_to_vec(value).unwrap()
    }

    /// apache-avro's reading.
    pub fn read(&self, mut bytes: &[u8]) -> AvroResult<Value> {
        GenericDatumReader::builder(&self.avro).build()?.read_value(&mut bytes)
    }

    /// apache-avro's reading of what `self` wrote by a reader that knows `current`.
    pub fn resolve(&self, mut bytes: &[u8], current: &Model) -> Value {
        let reader = GenericDatumReader::builder(&self.avro).maybe_reader_schema(Some(&current.avro)).build();
        reader.unwrap().read_value(&mut bytes).unwrap()
    }

    pub fn value(&self, tape: &mut Tape<'_>) -> Value {
        self.draw(&self.json, tape)
    }

    /// A record whose only field is a union, with the branch given.
    pub fn with_branch(&self, name: &str, tape: &mut Tape<'_>) -> Value {
        let field = &self.json["fields"][0];
        let branches = field["type"].as_array().unwrap();
        let of = |b: &Json| b["name"].as_str().or(b.as_str()).unwrap().trim_start_matches("tandem.").to_owned();
        let index = branches.iter().position(|b| of(b) == name).unwrap();
        let value = Value::Union(index as u32, Box::new(self.draw(&branches[index], tape)));
        Value::Record(vec![(field["name"].as_str().unwrap().to_owned(), value)])
    }

    fn draw(&self, schema: &Json, tape: &mut Tape<'_>) -> Value {
        match schema {
            Json::Array(branches) => {
                let index = usize::from(tape.byte()) % branches.len();
                Value::Union(index as u32, Box::new(self.draw(&branches[index], tape)))
            }
            Json::String(name) => match self.named.get(name.trim_start_matches("tandem.")) {
                Some(definition) => self.draw(definition, tape),
                None => self.draw_primitive(name, &Json::Null, tape),
            },
            _ => self.draw_object(schema, tape),
        }
    }

    fn draw_object(&self, schema: &Json, tape: &mut Tape<'_>) -> Value {
        match schema["type"].as_str().unwrap() {
            "record" => {
                let fields = schema["fields"].as_array().unwrap();
                let fields = fields
                    .iter()
                    .map(|field| (field["name"].as_str().unwrap().to_owned(), self.draw(&field["type"], tape)));
                Value::Record(fields.collect())
            }
            "enum" => {
                let symbols = schema["symbols"].as_array().unwrap();
                let index = usize::from(tape.byte()) % symbols.len();
                Value::Enum(index as u32, symbols[index].as_str().unwrap().to_owned())
            }
            "fixed" => {
                let size = schema["size"].as_u64().unwrap() as usize;
                Value::Fixed(size, (0..size).map(|_| tape.byte()).collect())
            }
            "array" => Value::Array((0..tape.byte() % 4).map(|_| self.draw(&schema["items"], tape)).collect()),
            name => self.draw_primitive(name, schema, tape),
        }
    }

    fn draw_primitive(&self, name: &str, schema: &Json, tape: &mut Tape<'_>) -> Value {
        let rust = schema["rust"].as_str().unwrap_or_default();
        let (least, most) = match rust {
            "u8" => (0, 255),
            "u16" => (0, 65_535),
            "u32" if name == "long" => (0, i64::from(u32::MAX)),
            "u64" => (0, i64::MAX),
            "u32" => (0, i64::from(i32::MAX)),
            _ if name == "int" => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        match name {
            "null" => Value::Null,
            "boolean" => Value::Boolean(tape.byte() % 2 == 1),
            "int" => Value::Int(tape.integer(least, most) as i32),
            "long" if schema["logicalType"] == "timestamp-micros" => Value::TimestampMicros(tape.long()),
            "long" => Value::Long(tape.integer(least, most)),
            "bytes" if schema["logicalType"] == "decimal" => {
                let value = (i128::from(tape.long()) << (tape.byte() % 60)) >> (tape.byte() % 100);
                Value::Decimal(Decimal::from(minimal(value)))
            }
            "bytes" => Value::Bytes(tape.text().into_bytes()),
            "string" => Value::String(match rust {
                "prefix" => tape.digits(15),
                "number" => tape.digits(31),
                "currency" => (0..3).map(|_| char::from(b'A' + tape.byte() % 26)).collect(),
                _ => tape.text(),
            }),
            other => panic!("no values for {other}"),
        }
    }
}

/// Two's complement, big endian, written plainly: drop leading bytes while the sign stays.
fn minimal(value: i128) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    while bytes.len() > 1 && (bytes[0] == 0 && bytes[1] < 0x80 || bytes[0] == 0xff && bytes[1] >= 0x80) {
        bytes.remove(0);
    }
    bytes
}

fn collect(json: &Json, named: &mut BTreeMap<String, Json>) {
    match json {
        Json::Array(list) => list.iter().for_each(|inner| collect(inner, named)),
        Json::Object(object) => {
            if let (Some(Json::String(name)), Some(Json::String(_))) = (object.get("name"), object.get("namespace")) {
                named.insert(name.clone(), json.clone());
            }
            object.values().for_each(|inner| collect(inner, named));
        }
        _ => {}
    }
}
