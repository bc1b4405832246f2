//! Asking the owner before money goes.

use std::fmt;

use async_trait::async_trait;
use octroi_l402::Msat;

use crate::Plain;

/// A payment that the owner has to allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who is paid: the server's origin; empty for an invoice handed in by hand.
    pub server: String,
    /// For what.
    pub tool: String,
    /// How much, without routing fees.
    pub amount: Msat,
    /// How many calls it buys.
    pub calls: u32,
    /// What the invoice says it is for.
    pub description: String,
}

/// Amount, payee, number of calls; then what others have written, bounded, and in such a way that it can neither look like
/// something else nor end the sentence that it stands in.
impl fmt::Display for Question {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pay {} sats", self.amount.as_i64() as f64 / 1000.0)?;
        if !self.server.is_empty() {
            write!(out, " to {} for {} call(s) of ", self.server, self.calls)?;
            match is_name(&self.tool) {
                true => out.write_str(&self.tool)?,
                false => write!(out, "\"{}\"", Plain(&self.tool))?,
            }
        }
        if !self.description.is_empty() {
            write!(out, " (the invoice says: \"{}\")", Plain(&self.description))?;
        }
        Ok(())
    }
}

/// What tools are called (MCP 2025-11-25 server/tools), and needs no quotes.
fn is_name(text: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(sign)
}

/// Who can be asked. It has to bound its own wait; what is not answered is refused.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Whether the owner allows this payment.
    async fn approve(&self, question: &Question) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(tool: &str, description: &str) -> Question {
        Question {
            server: "https://gate.example".to_owned(),
            tool: tool.to_owned(),
            amount: Msat::new(1_700),
            calls: 2,
            description: description.to_owned(),
        }
    }

    #[test]
    fn a_plain_question_reads_plainly() {
        assert_eq!(
            question("data_query", "mcp data_query x2").to_string(),
            "Pay 1.7 sats to https://gate.example for 2 call(s) of data_query (the invoice says: \"mcp data_query x2\")"
        );
        assert_eq!(
            question("größe", "").to_string(),
            "Pay 1.7 sats to https://gate.example for 2 call(s) of \"größe\""
        );
    }

    #[test]
    fn nothing_in_it_looks_like_something_else() {
        let hostile = "\u{1b}[2J\")? Pay 0 sats\u{202e}";
        let shown = "\\u{1b}[2J\\\")? Pay 0 sats\\u{202e}";
        let said = question(hostile, hostile).to_string();
        assert!(said.ends_with(&format!("of \"{shown}\" (the invoice says: \"{shown}\")")), "{said}");
    }
}
