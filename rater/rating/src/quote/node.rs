//! One JSON value as the contract reads it: no floats, no field twice, and for every fault the path of the field. Never
//! knows which fields there are; see `call` and `deck`.

use std::borrow::Cow;
use std::fmt;

use facts::money::parse_scaled;
use facts::time::parse_rfc3339;
use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A field that the contract does not allow: which one, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}; {advice}")]
pub struct Fault {
    /// Path of the field, as `deck.rates[0].first_rate`; empty where the line as a whole is meant.
    pub field: String,
    pub reason: String,
    pub advice: String,
}

/// A JSON value that borrows its texts from the line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Where a value stands, as a chain of names on the stack: a path costs nothing until a fault prints it.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

impl<'p> Place<'p> {
    pub fn root(name: &'p str) -> Self {
        Self { parent: None, step: Step::Key(name) }
    }

    pub fn key(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Key(name) }
    }

    pub fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    pub fn fault(&self, reason: impl Into<String>, advice: impl Into<String>) -> Fault {
        Fault { field: self.to_string(), reason: reason.into(), advice: advice.into() }
    }

    fn expected(&self, what: &str, node: &Node<'_>) -> Fault {
        self.fault(format!("{what} is expected here, not {}", node.kind()), "see docs/reference/quote.md")
    }

    /// A field that the contract does not know: refused by name unless it begins with `x_`.
    pub fn unknown(&self, name: &str) -> Result<(), Fault> {
        if name.starts_with("x_") {
            return Ok(());
        }
        let advice = "correct its name, or begin it with x_ to have it passed over";
        Err(self.key(name).fault(format!("unknown field {name:?}"), advice))
    }

    pub fn missing(&self, name: &str) -> Fault {
        self.key(name).fault(format!("the field {name:?} is missing"), "add it: it has no default")
    }

    pub fn object<'n, 'a>(&self, node: &'n Node<'a>) -> Result<&'n [(Cow<'a, str>, Node<'a>)], Fault> {
        match node {
            Node::Object(fields) => Ok(fields),
            other => Err(self.expected("an object", other)),
        }
    }

    /// A list; null is the empty one.
    pub fn list<'n, 'a>(&self, node: &'n Node<'a>) -> Result<&'n [Node<'a>], Fault> {
        match node {
            Node::List(items) => Ok(items),
            Node::Null => Ok(&[]),
            other => Err(self.expected("a list", other)),
        }
    }

    pub fn text<'n>(&self, node: &'n Node<'_>) -> Result<&'n str, Fault> {
        match node {
            Node::Text(text) => Ok(text),
            Node::Int(number) => {
                Err(self.fault(format!("the number {number} is not in quotes"), "write texts and decimals as strings"))
            }
            other => Err(self.expected("a text", other)),
        }
    }

    pub fn boolean(&self, node: &Node<'_>) -> Result<bool, Fault> {
        match node {
            Node::Bool(value) => Ok(*value),
            other => Err(self.expected("true or false", other)),
        }
    }

    /// A whole number within bounds.
    pub fn integer(&self, node: &Node<'_>, least: u32, most: u32) -> Result<u32, Fault> {
        let Node::Int(value) = node else { return Err(self.expected("a whole number without quotes", node)) };
        match u32::try_from(*value) {
            Ok(value) if (least..=most).contains(&value) => Ok(value),
            _ => Err(self.fault(format!("{value} is not within {least} to {most}"), "correct it")),
        }
    }

    /// A decimal string with at most `decimals` places as an integer of 10^-decimals.
    pub fn decimal(&self, node: &Node<'_>, decimals: u32) -> Result<i64, Fault> {
        let text = self.text(node)?;
        if let Some(value) = parse_scaled(text, decimals) {
            let beyond = |_| self.fault(format!("{text:?} is beyond the range of 19 digits"), "correct it");
            return i64::try_from(value).map_err(beyond);
        }
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let long = text.trim_start_matches(['-', '+']).split_once('.').is_some_and(|(whole, fraction)| {
            plain(whole) && plain(fraction) && fraction.trim_end_matches('0').len() > decimals as usize
        });
        Err(if long {
            let reason = format!("{text:?} has more than {decimals} decimals");
            self.fault(reason, "round it where it comes from: nothing is rounded here unasked")
        } else {
            self.fault(
                format!("{text:?} is no plain decimal number"),
                "write it as \"-1.25\": no exponent, no grouping",
            )
        })
    }

    /// The same, not below zero.
    pub fn positive(&self, node: &Node<'_>, decimals: u32) -> Result<i64, Fault> {
        let value = self.decimal(node, decimals)?;
        if value < 0 { Err(self.fault("it is below zero", "correct its sign")) } else { Ok(value) }
    }

    /// RFC 3339 with offset, as microseconds.
    pub fn instant(&self, node: &Node<'_>) -> Result<i64, Fault> {
        let text = self.text(node)?;
        parse_rfc3339(text).ok_or_else(|| {
            self.fault(
                format!("{text:?} is no time with offset"),
                "write it as \"2023-05-09T10:00:03Z\" or with +02:00",
            )
        })
    }

    /// One of a closed set of words: those by which the type is written everywhere (its serde names).
    pub fn word<T: DeserializeOwned>(&self, node: &Node<'_>) -> Result<T, Fault> {
        let text = self.text(node)?;
        T::deserialize(StrDeserializer::new(text)).map_err(|WordError(known)| {
            self.fault(format!("{text:?} is none of its words"), format!("write one of {}", known.join(", ")))
        })
    }
}

/// What serde says to a word that a type does not know: the words that it knows.
#[derive(Debug)]
struct WordError(&'static [&'static str]);

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.0.join(", "))
    }
}

impl std::error::Error for WordError {}

impl Error for WordError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected)
    }
}

/// `None` for null, else what `read` makes of it.
pub(super) fn optional<'n, 'a, T>(
    node: &'n Node<'a>,
    read: impl FnOnce(&'n Node<'a>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    if *node == Node::Null { Ok(None) } else { read(node).map(Some) }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(name) if self.parent.is_none() => f.write_str(name),
            Step::Key(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Reads one JSON value; what is no JSON is a fault of that place.
pub(super) fn parse<'a>(place: &Place<'_>, text: &'a str) -> Result<Node<'a>, Fault> {
    serde_json::from_str(text).map_err(|error| not_json(place, &error))
}

/// A fault of the JSON reader, with its column where the text is one line.
pub(super) fn not_json(place: &Place<'_>, error: &serde_json::Error) -> Fault {
    place.fault(error.to_string(), "write one JSON object a line; decimals are strings")
}

struct Reader;

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, true, false, null, a list or an object; decimals are strings")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node<'de>, E> {
        i64::try_from(value).map(Node::Int).map_err(|_| E::custom(format!("the number {value} is too large")))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Node<'de>)> = Vec::with_capacity(16);
        while let Some(Key(key)) = map.next_key()? {
            if fields.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(format!("the field {key:?} is given twice")));
            }
            let value = map.next_value().map_err(|error| A::Error::custom(format!("{key}: {error}")))?;
            fields.push((key, value));
        }
        Ok(Node::Object(fields))
    }
}

/// A field's name, borrowed where it has no escapes.
pub(super) struct Key<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Name)
    }
}
