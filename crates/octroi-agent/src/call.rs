//! One call, all the way: through the purse, a puzzle or a payment, to its answer.

use std::sync::Arc;

use serde_json::Value;

use crate::redeem::{self, Redemption};
use crate::visit::{ATTEMPTS_MAX, Ending, Subject, Visit};
use crate::{
    Agent, AgentError, Bill, Bought, CallOptions, Exchange, Paid, PaymentRequired, Request, Step, Worked,
};

/// What a call got, and what it cost.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// `result` of the reply.
    pub result: Value,
    /// The tool says that it failed.
    pub is_error: bool,
    /// What was paid for it now; none where a credential was left.
    pub paid: Option<Paid>,
    /// What was computed for it.
    pub work: Option<Worked>,
    /// What the server charged: msat, or calls where it was paid with work.
    pub price: Option<i64>,
    /// What is left on the account, in the same unit.
    pub balance: Option<i64>,
    /// Everything that was done, in order.
    pub steps: Vec<Step>,
}

impl Agent {
    /// Calls `tool` with `arguments` (a JSON object), and pays or computes for it where that is asked and allowed.
    ///
    /// One payment is made at most. The request is never repeated after the connection broke: the tool may have run.
    ///
    /// # Errors
    /// [`AgentError`]. What was paid for before it is not lost: the credential stays in the purse.
    pub async fn call(
        &self,
        tool: &str,
        arguments: Value,
        options: CallOptions,
    ) -> Result<CallOutcome, AgentError> {
        let mut visit = Visit::begin(Arc::clone(&self.payer), self.subject(tool), options.calls, None)?;
        for _ in 0..ATTEMPTS_MAX {
            let asking = visit.asking()?;
            let request = Request::call(tool, &arguments)
                .with_token(self.token.clone())
                .with_proof(visit.proof())
                .buying(asking);
            let exchange = self.send_raw(&request).await?;
            visit.tell(Step::Answered { status: exchange.status, elapsed: exchange.elapsed });
            let Some(required) = PaymentRequired::read(&exchange) else {
                return self.arrive(visit, &exchange).await;
            };
            visit.answer(&required, asking).await?;
            if let Some(redemption) = visit.redemption() {
                let token = self.token.as_ref();
                let Redemption { url, body } = &redemption;
                let given = self.http.post_json(url, token, body, redeem::ANSWER_BYTES_MAX).await;
                let given = given.ok().filter(|(status, _)| *status == 200);
                visit.redeemed(given.as_ref().map(|(_, body)| body.as_slice()))?;
            }
        }
        Err(AgentError::BadReply(format!("no end after {ATTEMPTS_MAX} requests")))
    }

    /// The answer is not about payment: the end.
    async fn arrive(&self, mut visit: Visit, exchange: &Exchange) -> Result<CallOutcome, AgentError> {
        let Some(result) = exchange.result() else { return Err(self.refusal(exchange).await) };
        let is_error = result.get("isError") == Some(&Value::Bool(true));
        let (price, balance) = (exchange.price(), exchange.balance());
        visit.end(if is_error { Ending::Failed } else { Ending::Served }, price, balance)?;
        Ok(CallOutcome {
            result: result.clone(),
            is_error,
            paid: visit.paid,
            work: visit.work,
            price,
            balance,
            steps: visit.steps,
        })
    }

    /// Pays a bill for calls of `tool`; the credential it buys is in the purse, too.
    ///
    /// # Errors
    /// [`AgentError`]. After every one but [`AgentError::PaymentPending`] and [`AgentError::WrongProof`] nothing was spent.
    pub async fn pay(&self, tool: &str, bill: &Bill) -> Result<(Bought, Paid), AgentError> {
        self.payer.pay(&self.endpoint, tool, bill).await
    }

    fn subject(&self, tool: &str) -> Subject {
        Subject { endpoint: self.endpoint.clone(), place: self.endpoint.to_string(), tool: tool.to_owned() }
    }
}
