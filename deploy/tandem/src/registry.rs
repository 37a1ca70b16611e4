//! Schema ids from a Schema Registry (Confluent's HTTP API; Apicurio speaks it under `/apis/ccompat/v7`): every schema
//! is registered under its own name as subject, and the id it gets goes in front of our records.

use crate::settings::RegistrySettings;
use schemas::{Schema, SchemaIds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Serialize)]
struct Registration<'a> {
    schema: &'a str,
    #[serde(rename = "schemaType")]
    schema_type: &'a str,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

/// Registers what is not there yet and returns the ids. Registering the same schema again gives the same id.
pub fn schema_ids(settings: Option<&RegistrySettings>) -> Result<SchemaIds, String> {
    let Some(settings) = settings else { return Ok(SchemaIds::default()) };
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
    let mut ids = BTreeMap::new();
    for schema in Schema::ALL {
        ids.insert(schema.name().to_owned(), register(&agent, settings, schema)?);
    }
    SchemaIds::from_registry(&ids).map_err(|error| format!("{}: {error}", settings.url))
}

fn register(agent: &ureq::Agent, settings: &RegistrySettings, schema: Schema) -> Result<u32, String> {
    let url = format!("{}/subjects/{}/versions", settings.url.trim_end_matches('/'), schema.name());
    let broken = |why: String| format!("schema registry {url}: {why}; check its address, or leave schema_registry out");
    let body = serde_json::to_vec(&Registration { schema: schema.text(), schema_type: "AVRO" })
        .map_err(|e| broken(e.to_string()))?;
    let mut request = agent.post(&url).header("Content-Type", "application/vnd.schemaregistry.v1+json");
    if !settings.user.is_empty() {
        request = request.header("Authorization", basic(&settings.user, &settings.password));
    }
    let mut answer = request.send(&body[..]).map_err(|e| broken(e.to_string()))?;
    let text = answer.body_mut().read_to_string().map_err(|e| broken(e.to_string()))?;
    let registered: Registered = serde_json::from_str(&text).map_err(|e| broken(format!("{e} in {text:?}")))?;
    Ok(registered.id)
}

/// RFC 7617.
fn basic(user: &str, password: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let plain = format!("{user}:{password}");
    let mut text = String::from("Basic ");
    for chunk in plain.as_bytes().chunks(3) {
        let bits = u32::from(chunk[0]) << 16
            | u32::from(chunk.get(1).copied().unwrap_or(0)) << 8
            | u32::from(chunk.get(2).copied().unwrap_or(0));
        for place in 0..4 {
            let filled = place <= chunk.len();
            let letter = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if filled { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn basic_authorization_is_as_the_rfc_has_it() {
        assert_eq!(super::basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
