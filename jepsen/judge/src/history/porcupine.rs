//! Porcupine's operations form, for checkers that judge calls and returns.
//!
//! A JSON array of `{"clientId", "input", "output", "call", "return"}`, in order of call:
//!
//! - `input` is `{"f", "key", "value"}` of the invocation;
//! - `output` is the value of an `ok`, `{"error": …}` of a refusal by the registry (an observation that
//!   changed nothing), or `null` of an operation of unknown outcome;
//! - `call` and `return` are event indices: they order events exactly as their times do, without ties.
//!   An operation of unknown outcome returns after everything else.
//!
//! Reads of unknown outcome and failures that are no refusal say nothing and are left out, and so are
//! stale reads, which need not be linearizable. Porcupine's own `Operation` has `ClientId`, `Input`,
//! `Output`, `Call` and `Return` in this order; Go's decoder matches the names whatever their case.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{History, Kind, Op, Operation, Refusal};

/// Writes the operations of a history as JSON.
///
/// # Errors
/// When the writer refuses.
pub fn export_porcupine(history: &History<'_>, mut out: impl Write) -> io::Result<()> {
    let last = history.events.len() as u64;
    let mut before = "[\n";
    for operation in history.operations.iter().filter(|operation| says_something(operation)) {
        let output = match operation.kind() {
            Kind::Ok => value(operation.op())?,
            Kind::Fail => json!({ "error": operation.refusal() }),
            Kind::Info | Kind::Invoke => Value::Null,
        };
        let line = json!({
            "clientId": operation.invoke.process,
            "input": {
                "f": operation.invoke.op.name(),
                "key": operation.key(),
                "value": value(&operation.invoke.op)?,
            },
            "output": output,
            "call": operation.began(),
            "return": operation.ended().min(last),
        });
        out.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut out, &line)?;
        before = ",\n";
    }
    out.write_all(if before == "[\n" { b"[]\n" } else { b"\n]\n" })?;
    out.flush()
}

fn says_something(operation: &Operation<'_>) -> bool {
    let is_read = matches!(
        operation.invoke.op,
        Op::Locate(_) | Op::ReadRoom(_) | Op::CometRoutes(_) | Op::Count(_)
    );
    if matches!(&operation.invoke.op, Op::Locate(locate) if locate.stale) {
        return false;
    }
    match operation.kind() {
        Kind::Ok => true,
        Kind::Fail => operation.refusal().is_some_and(Refusal::is_judgement),
        Kind::Info | Kind::Invoke => !is_read,
    }
}

fn value(op: &Op) -> serde_json::Result<Value> {
    let Value::Object(mut fields) = serde_json::to_value(op)? else { return Ok(Value::Null) };
    Ok(fields.remove("value").unwrap_or_default())
}
