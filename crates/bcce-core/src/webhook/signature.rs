//! Verifies the signature of a body and its time. Every provider signs with HMAC. The signed text and the place of the
//! signature differ by provider.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha512};
use time::OffsetDateTime;

use crate::config::webhook::{Algorithm, Encoding, Provider, Scheme, Source};
use crate::webhook::{Call, Secret};

/// The largest difference between the signed time and the current time, in seconds, in either direction. Slack, Stripe
/// and Standard Webhooks recommend the same five minutes.
const WINDOW_S: u64 = 300;
/// The most signatures of a call that are checked. A provider sends one for each secret in use.
const MOST_SIGNATURES: usize = 10;

/// The reason why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The call has no signature, or a malformed one. The text describes the problem for the sender's log.
    Unsigned(String),
    /// The signature was not made over this body with one of the secrets.
    Forged,
    /// The signature is valid, but too old or too far in the future. The call is a replay, or a clock is wrong.
    OutsideWindow,
}

/// Verifies the signature of a call.
///
/// # Errors
/// Returns the reason if no holder of one of `secrets` signed the call within the last five minutes. Providers that do
/// not sign a time have no time limit.
pub fn verify(
    source: &Source,
    secrets: &[Secret],
    call: &Call<'_>,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let algorithm = algorithm(source);
    let claim = well_formed(source, call)?;
    if !secrets.iter().any(|secret| is_signed(algorithm, secret, &claim.signed, &claim.signatures))
    {
        return Err(Refusal::Forged);
    }
    match claim.at {
        Some(at) if now.unix_timestamp().abs_diff(at) > WINDOW_S => Err(Refusal::OutsideWindow),
        _ => Ok(()),
    }
}

/// Checks, without a secret, that a call has a signature in the provider's format.
///
/// # Errors
/// Returns [`Refusal::Unsigned`] if a header is missing or malformed.
pub fn check_form(source: &Source, call: &Call<'_>) -> Result<(), Refusal> {
    well_formed(source, call).map(drop)
}

fn algorithm(source: &Source) -> Algorithm {
    source.signature.as_ref().map(|scheme| scheme.algorithm).unwrap_or_default()
}

/// Reads the claim of a call, and drops signatures of the wrong length before anything is computed.
fn well_formed<'a>(source: &'a Source, call: &Call<'a>) -> Result<Claim<'a>, Refusal> {
    let bytes = algorithm(source).bytes();
    let mut claim = claim(source, call).map_err(Refusal::Unsigned)?;
    claim.signatures.retain(|one| one.len() == bytes);
    claim.signatures.truncate(MOST_SIGNATURES);
    if claim.signatures.is_empty() {
        let cause = "the signature does not have the provider's format";
        return Err(Refusal::Unsigned(cause.to_owned()));
    }
    Ok(claim)
}

/// The signatures of a call, with the text and time that they are said to cover.
struct Claim<'a> {
    signatures: Vec<Vec<u8>>,
    /// The signed text, in parts.
    signed: Vec<&'a [u8]>,
    /// The signed time in Unix seconds, if the provider signs one.
    at: Option<i64>,
}

fn claim<'a>(source: &'a Source, call: &Call<'a>) -> Result<Claim<'a>, String> {
    match source.provider {
        Provider::Github => plain(&Scheme::github(), call),
        Provider::Hmac => plain(source.signature.as_ref().ok_or("no signature is set")?, call),
        Provider::Slack => slack(call),
        Provider::Stripe => stripe(call),
        Provider::StandardWebhooks => standard(call),
    }
}

/// Reads `<prefix><signature>` from a header, over the body. Several signatures are separated by commas.
fn plain<'a>(scheme: &Scheme, call: &Call<'a>) -> Result<Claim<'a>, String> {
    let name = scheme.header.to_lowercase();
    let header = required(call, &name)?;
    let decoded = header.split(',').filter_map(|each| {
        let encoded = each.trim().strip_prefix(scheme.prefix.as_str())?;
        match scheme.encoding {
            Encoding::Hex => hex::decode(encoded).ok(),
            Encoding::Base64 => STANDARD.decode(encoded).ok(),
        }
    });
    let signatures = decoded.collect();
    Ok(Claim { signatures, signed: vec![call.body], at: None })
}

/// Reads `X-Slack-Signature: v0=<hex>` over `v0:<timestamp>:<body>`.
fn slack<'a>(call: &Call<'a>) -> Result<Claim<'a>, String> {
    let timestamp = required(call, "x-slack-request-timestamp")?;
    let header = required(call, "x-slack-signature")?;
    let signature = header.strip_prefix("v0=").and_then(|hex| hex::decode(hex).ok());
    let signed = vec![b"v0:", timestamp.as_bytes(), b":", call.body];
    Ok(Claim { signatures: Vec::from_iter(signature), signed, at: Some(seconds(timestamp)?) })
}

/// Reads `Stripe-Signature: t=<seconds>,v1=<hex>,v1=<hex>` over `<seconds>.<body>`.
fn stripe<'a>(call: &Call<'a>) -> Result<Claim<'a>, String> {
    let header = required(call, "stripe-signature")?;
    let pairs = || header.split(',').filter_map(|pair| pair.trim().split_once('='));
    let timestamp = pairs().find(|(key, _)| *key == "t").map(|(_, value)| value);
    let timestamp = timestamp.ok_or("stripe-signature: has no t")?;
    let signatures =
        pairs().filter(|(key, _)| *key == "v1").filter_map(|(_, v)| hex::decode(v).ok());
    let signatures = signatures.collect();
    let signed = vec![timestamp.as_bytes(), b".", call.body];
    Ok(Claim { signatures, signed, at: Some(seconds(timestamp)?) })
}

/// Reads `webhook-signature: v1,<base64> v1,<base64>` over `<id>.<timestamp>.<body>`.
fn standard<'a>(call: &Call<'a>) -> Result<Claim<'a>, String> {
    let id = required(call, "webhook-id")?;
    // Full stops alone separate the id, the time and the body in the signed text. With a full stop in the id, the parts
    // could be shifted.
    if id.is_empty() || id.contains('.') {
        return Err("the header webhook-id is empty or contains a full stop".to_owned());
    }
    let timestamp = required(call, "webhook-timestamp")?;
    let header = required(call, "webhook-signature")?;
    let signatures = header.split(' ').filter_map(|each| each.strip_prefix("v1,"));
    let signatures = signatures.filter_map(|encoded| STANDARD.decode(encoded).ok()).collect();
    let signed = vec![id.as_bytes(), b".", timestamp.as_bytes(), b".", call.body];
    Ok(Claim { signatures, signed, at: Some(seconds(timestamp)?) })
}

fn required<'a>(call: &Call<'a>, name: &str) -> Result<&'a str, String> {
    call.header(name).ok_or_else(|| format!("the header {name} is missing"))
}

/// Parses the signed time, which must consist of digits only.
fn seconds(text: &str) -> Result<i64, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| "the signed time is not a number of seconds".to_owned())
}

/// Returns whether one of `signatures` is valid. Compares in constant time and hashes the body once for each secret. A
/// shortened signature is not valid.
fn is_signed(
    algorithm: Algorithm,
    secret: &Secret,
    signed: &[&[u8]],
    signatures: &[Vec<u8>],
) -> bool {
    match algorithm {
        Algorithm::Sha256 => is_mac::<Hmac<Sha256>>(secret, signed, signatures),
        Algorithm::Sha512 => is_mac::<Hmac<Sha512>>(secret, signed, signatures),
    }
}

fn is_mac<M: Mac + KeyInit + Clone>(
    secret: &Secret,
    signed: &[&[u8]],
    signatures: &[Vec<u8>],
) -> bool {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret.bytes()) else { return false };
    signed.iter().for_each(|part| mac.update(part));
    signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
}
