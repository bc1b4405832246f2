//! The agent's journey, step by step. Every step says beforehand what must come of it and fails if it does not.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use octroi_agent::{Bill, Bought, Exchange, PaymentRequired, Proof, Request, Secret};
use serde_json::{Value, json};
use thiserror::Error;

use super::show::{Show, StepReport, sats};
use super::world::World;
use crate::clock::unix_seconds;

/// How many calls the bundle is for.
const BUNDLE: u32 = 100;
/// How long the ledger may take to book the last call.
const BOOKED_WITHIN: Duration = Duration::from_secs(10);

/// A step that did not end as announced.
#[derive(Debug, Error)]
pub(super) enum Mismatch {
    /// Something else happened.
    #[error("step {step}: expected {expected}, got {got}")]
    Unexpected {
        /// The step's number.
        step: usize,
        /// What was announced.
        expected: String,
        /// What happened.
        got: String,
    },
    /// The agent could not even try.
    #[error("step {step}: {source}")]
    Agent {
        /// The step's number.
        step: usize,
        /// Why.
        source: octroi_agent::AgentError,
    },
    /// The ledger cannot be read.
    #[error("the ledger: {0}")]
    Ledger(#[from] octroi_ledger::ReadError),
}

/// Walks the whole journey.
pub(super) async fn walk(world: &World, show: &Show) -> Result<(), Mismatch> {
    let mut guide = Guide { world, show, number: 0 };
    guide.prices().await?;
    guide.without_a_token().await?;
    let credential = guide.pay_for_one_call().await?;
    guide.spent(&credential).await?;
    guide.bundle().await?;
    guide.work().await?;
    guide.refund().await?;
    guide.stream().await?;
    guide.ledger().await
}

struct Guide<'a> {
    world: &'a World,
    show: &'a Show,
    number: usize,
}

impl Guide<'_> {
    async fn prices(&mut self) -> Result<(), Mismatch> {
        self.number += 1;
        let exchange = self.send(&Request::new("tools/list", json!({}))).await?;
        self.expect_status(&exchange, 200)?;
        let tools =
            exchange.result().and_then(|result| result["tools"].as_array()).cloned().unwrap_or_default();
        let prices: Vec<String> = tools.iter().map(price_of).collect();
        for wanted in ["image_describe 3 sat", "data_query 1.7 sat", "unreliable 1 sat", "status free"] {
            self.expect(prices.iter().any(|price| price == wanted), wanted, || prices.join(", "))?;
        }
        let by_hand = curl("", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
        self.report(
            "The agent lists the tools and sees their prices",
            Some(&exchange),
            prices.join(", "),
            0,
            by_hand,
        );
        Ok(())
    }

    async fn without_a_token(&mut self) -> Result<(), Mismatch> {
        self.number += 1;
        let exchange = self.send(&describe()).await?;
        self.expect_status(&exchange, 401)?;
        let needed = self.world.agent.identity_needed(&exchange).await;
        let metadata = needed.and_then(|needed| needed.metadata);
        let found = metadata.and_then(|metadata| metadata.authorization_servers.first().cloned());
        let issuer = self.world.issuer.url();
        self.expect(found.as_deref() == Some(issuer), "the issuer in the metadata", || format!("{found:?}"))?;
        let outcome = format!("401; the resource metadata names the issuer {issuer}");
        let by_hand = curl("", &call_text("image_describe", r#"{"url":"https://example.com/cat.png"}"#));
        self.report("It calls without saying who it is", Some(&exchange), outcome, 0, by_hand);
        Ok(())
    }

    async fn pay_for_one_call(&mut self) -> Result<Bought, Mismatch> {
        let bill = self
            .challenged("It says who it is, and is asked to pay", self.identified(describe()), 1, 3_000)
            .await?;
        let bought = self.pay("It pays the Lightning invoice", "image_describe", &bill).await?;
        self.number += 1;
        let request = self.identified(describe()).with_proof(Proof::Payment(bought.authorization()));
        let exchange = self.send(&request).await?;
        self.expect_answer(&exchange)?;
        self.expect(exchange.balance() == Some(0), "nothing left on the credential", || {
            format!("{:?}", exchange.balance())
        })?;
        let by_hand = curl(
            "-H \"Authorization: Bearer $TOKEN\" -H \"Payment-Authorization: L402 $MACAROON:$PREIMAGE\" ",
            &call_text("image_describe", r#"{"url":"https://example.com/cat.png"}"#),
        );
        let outcome = format!("the answer: {}", text_of(&exchange));
        self.report("It calls with both proofs in one request", Some(&exchange), outcome, 3_000, by_hand);
        Ok(bought)
    }

    async fn spent(&mut self, credential: &Bought) -> Result<(), Mismatch> {
        self.number += 1;
        let request = self.identified(describe()).with_proof(Proof::Payment(credential.authorization()));
        let exchange = self.send(&request).await?;
        self.expect_status(&exchange, 402)?;
        self.expect_reason(&exchange, "CREDENTIAL_SPENT")?;
        let by_hand = "the same command once more".to_owned();
        let outcome = "402 CREDENTIAL_SPENT, with a fresh challenge".to_owned();
        self.report("It shows the same macaroon again", Some(&exchange), outcome, 0, by_hand);
        Ok(())
    }

    async fn bundle(&mut self) -> Result<(), Mismatch> {
        let title = format!("It asks for {BUNDLE} calls at once");
        let total = i64::from(BUNDLE) * 1_700;
        let bill = self.challenged(&title, query().buying(BUNDLE), BUNDLE, total).await?;
        let bought = self.pay("It pays once for all of them", "data_query", &bill).await?;
        self.number += 1;
        let started = Instant::now();
        let mut last = None;
        for nth in 1..=BUNDLE {
            let exchange = self.send(&query().with_proof(Proof::Payment(bought.authorization()))).await?;
            self.expect_answer(&exchange)?;
            let left = i64::from(BUNDLE - nth) * 1_700;
            self.expect(exchange.balance() == Some(left), "the balance counting down", || {
                format!("{:?}", exchange.balance())
            })?;
            last = Some(exchange);
        }
        let took = started.elapsed();
        let spent = self.send(&query().with_proof(Proof::Payment(bought.authorization()))).await?;
        self.expect_reason(&spent, "CREDENTIAL_SPENT")?;
        let outcome = format!("{BUNDLE} answers without another invoice; the next call is refused as spent");
        let by_hand = curl(
            "-H \"Authorization: L402 $MACAROON:$PREIMAGE\" ",
            &call_text("data_query", r#"{"query":"tolls"}"#),
        );
        let report = StepReport {
            title: "It makes the calls, anonymously",
            exchange: last.as_ref(),
            outcome,
            cost_msat: total,
            took,
            by_hand,
        };
        self.show.step(self.number, &report);
        Ok(())
    }

    async fn work(&mut self) -> Result<(), Mismatch> {
        self.number += 1;
        let asked = self.send(&query()).await?;
        self.expect_status(&asked, 402)?;
        let puzzle = PaymentRequired::read(&asked).and_then(|required| required.work);
        let Some(puzzle) = puzzle else { return Err(self.unexpected("a puzzle in the 402", "none")) };
        let solved = self.world.agent.solve(&puzzle, Arc::new(AtomicU64::new(0))).await;
        let Some((submission, worked)) = solved else { return Err(self.unexpected("a solution", "none")) };
        let request = query().with_proof(Proof::Work(submission.to_header()));
        let exchange = self.send(&request).await?;
        self.expect_answer(&exchange)?;
        let again = self.send(&request).await?;
        self.expect_reason(&again, "INVALID_SOLUTION")?;
        let outcome = format!(
            "{} bits found in {:.0} ms bought one call; the solution is good only once",
            worked.bits,
            worked.seconds * 1000.0
        );
        let by_hand = "octroi pow solve --url $GATE".to_owned();
        self.report("It computes instead of paying", Some(&exchange), outcome, 0, by_hand);
        Ok(())
    }

    async fn refund(&mut self) -> Result<(), Mismatch> {
        let fail = |fail: bool| Request::call("unreliable", &json!({"fail": fail}));
        let bill = self.challenged("It asks for a tool that may fail", fail(true), 1, 1_000).await?;
        let bought = self.pay("It pays for the call", "unreliable", &bill).await?;
        self.number += 1;
        let paid = |request: Request| request.with_proof(Proof::Payment(bought.authorization()));
        let failed = self.send(&paid(fail(true))).await?;
        let is_error = failed.result().is_some_and(|result| result["isError"] == true);
        self.expect(is_error, "a result with isError", || text_of(&failed))?;
        let by_hand = curl(
            "-H \"Authorization: L402 $MACAROON:$PREIMAGE\" ",
            &call_text("unreliable", r#"{"fail":true}"#),
        );
        let outcome = "the tool failed: the price is back on the credential".to_owned();
        self.report("The tool fails", Some(&failed), outcome, 0, by_hand);
        self.number += 1;
        let worked = self.send(&paid(fail(false))).await?;
        self.expect_answer(&worked)?;
        let by_hand = curl(
            "-H \"Authorization: L402 $MACAROON:$PREIMAGE\" ",
            &call_text("unreliable", r#"{"fail":false}"#),
        );
        let outcome = "the same credential pays for the call that works".to_owned();
        self.report("It tries again with the same credential", Some(&worked), outcome, 1_000, by_hand);
        Ok(())
    }

    async fn stream(&mut self) -> Result<(), Mismatch> {
        self.number += 1;
        let mut request = Request::call("slow_report", &json!({"steps": 3, "delay_ms": 50}));
        request.params["_meta"] = json!({"progressToken": "report"});
        let exchange = self.send(&request).await?;
        self.expect_answer(&exchange)?;
        let events = exchange.notifications.len();
        self.expect(events >= 3, "an event per step", || format!("{events} events"))?;
        let outcome = format!("{events} progress events passed through one by one, then the answer");
        let by_hand = curl("-N ", &call_text("slow_report", r#"{"steps":3,"delay_ms":500}"#));
        self.report("It calls a free tool that streams", Some(&exchange), outcome, 0, by_hand);
        Ok(())
    }

    /// The ledger must show exactly what the steps announced.
    async fn ledger(&mut self) -> Result<(), Mismatch> {
        self.number += 1;
        let earned = 3_000 + i64::from(BUNDLE) * 1_700 + 1_000;
        let started = Instant::now();
        // The last capture rides the next commit.
        let report = loop {
            let report = self.world.ledger.report()?;
            if report.open_holds == 0 || started.elapsed() > BOOKED_WITHIN {
                break report;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let sound = self.world.ledger.verify()?.is_sound();
        let revenue: i64 = report.revenue.iter().map(|row| row.msat).sum();
        self.show.ledger(&json!(report), sound);
        self.expect(sound, "a sound ledger", || "violations".to_owned())?;
        self.expect(revenue == earned, &sats(earned), || sats(revenue))?;
        self.expect(report.received_msat == earned, &sats(earned), || sats(report.received_msat))?;
        self.expect(report.credit_msat == 0, "no credit left", || sats(report.credit_msat))?;
        let calls = u64::from(BUNDLE) + 3;
        self.expect(report.captured == calls, &format!("{calls} charged calls"), || {
            report.captured.to_string()
        })
    }

    /// A call that must be answered with a bill of `amount` msat for `calls` calls.
    async fn challenged(
        &mut self,
        title: &str,
        request: Request,
        calls: u32,
        amount: i64,
    ) -> Result<Bill, Mismatch> {
        self.number += 1;
        let exchange = self.send(&request).await?;
        self.expect_status(&exchange, 402)?;
        self.expect_reason(&exchange, "PAYMENT_REQUIRED")?;
        let required = PaymentRequired::read(&exchange);
        let bill = required.and_then(|required| required.bill(calls, unix_seconds()).ok());
        let Some(bill) = bill else {
            return Err(self.unexpected("an L402 challenge", "none that can be paid"));
        };
        self.expect(bill.amount.as_i64() == amount, &sats(amount), || sats(bill.amount.as_i64()))?;
        let token = if request.token.is_some() { "-H \"Authorization: Bearer $TOKEN\" " } else { "" };
        let bundle = if calls > 1 { format!("-H \"Octroi-Calls: {calls}\" ") } else { String::new() };
        let arguments = request.params["arguments"].to_string();
        let name = request.params["name"].as_str().unwrap_or_default();
        let by_hand = curl(&format!("{token}{bundle}"), &call_text(name, &arguments));
        self.report(title, Some(&exchange), format!("402 with an invoice over {}", sats(amount)), 0, by_hand);
        Ok(bill)
    }

    async fn pay(&mut self, title: &str, tool: &str, bill: &Bill) -> Result<Bought, Mismatch> {
        self.number += 1;
        let started = Instant::now();
        let paid = self.world.agent.pay(tool, bill).await;
        let (bought, paid) = paid.map_err(|source| Mismatch::Agent { step: self.number, source })?;
        let report = StepReport {
            title,
            exchange: None,
            outcome: format!(
                "paid over the channel, {} of fees; the preimage is the proof",
                sats(paid.fee.as_i64())
            ),
            cost_msat: paid.amount.as_i64(),
            took: started.elapsed(),
            by_hand: "curl -s -u :$PASSWORD $WALLET/payinvoice -d invoice=$INVOICE".to_owned(),
        };
        self.show.step(self.number, &report);
        Ok(bought)
    }

    async fn send(&self, request: &Request) -> Result<Exchange, Mismatch> {
        let sent = self.world.agent.send_raw(request).await;
        sent.map_err(|source| Mismatch::Agent { step: self.number, source })
    }

    fn identified(&self, request: Request) -> Request {
        request.with_token(Some(Secret::new(self.world.token.clone())))
    }

    fn report(
        &self,
        title: &str,
        exchange: Option<&Exchange>,
        outcome: String,
        cost_msat: i64,
        by_hand: String,
    ) {
        let took = exchange.map(|exchange| exchange.elapsed).unwrap_or_default();
        self.show.step(self.number, &StepReport { title, exchange, outcome, cost_msat, took, by_hand });
    }

    fn expect_status(&self, exchange: &Exchange, status: u16) -> Result<(), Mismatch> {
        self.expect(exchange.status == status, &format!("HTTP {status}"), || {
            format!("HTTP {}: {}", exchange.status, String::from_utf8_lossy(&exchange.body))
        })
    }

    fn expect_reason(&self, exchange: &Exchange, reason: &str) -> Result<(), Mismatch> {
        let got = exchange.error().map(|error| error["data"]["reason"].clone()).unwrap_or_default();
        self.expect(got == reason, reason, || got.to_string())
    }

    fn expect_answer(&self, exchange: &Exchange) -> Result<(), Mismatch> {
        self.expect_status(exchange, 200)?;
        let worked = exchange.result().is_some_and(|result| result["isError"] != true);
        self.expect(worked, "an answer", || String::from_utf8_lossy(&exchange.body).into_owned())
    }

    fn expect(&self, holds: bool, expected: &str, got: impl FnOnce() -> String) -> Result<(), Mismatch> {
        if holds { Ok(()) } else { Err(self.unexpected(expected, &got())) }
    }

    fn unexpected(&self, expected: &str, got: &str) -> Mismatch {
        Mismatch::Unexpected { step: self.number, expected: expected.to_owned(), got: got.to_owned() }
    }
}

fn describe() -> Request {
    Request::call("image_describe", &json!({"url": "https://example.com/cat.png"}))
}

fn query() -> Request {
    Request::call("data_query", &json!({"query": "tolls"}))
}

/// A tool and what it costs, as a person reads it.
fn price_of(tool: &Value) -> String {
    let name = tool["name"].as_str().unwrap_or_default();
    match tool["_meta"]["dev.octroi/price"]["msat"].as_i64() {
        Some(msat) => format!("{name} {}", sats(msat)),
        None => format!("{name} free"),
    }
}

fn text_of(exchange: &Exchange) -> String {
    let content = exchange.result().map(|result| result["content"][0]["text"].clone()).unwrap_or_default();
    content.as_str().map_or_else(|| content.to_string(), str::to_owned)
}

fn call_text(tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

fn curl(headers: &str, body: &str) -> String {
    format!("curl -si $GATE {headers}-H \"Content-Type: application/json\" -d '{body}'")
}
