//! A gate with its wire forms and nothing else: it sells calls of 3 sats and counts them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use octroi_l402::{Challenge, Credential, Identifier, Macaroon, MasterKeys, PaymentHash, TokenId};
use octroi_pow::{Binding, Difficulty, Request, Signer, Submission};
use serde_json::{Value, json};

use crate::lightning::{Network, Terms, now, preimage};
use crate::server::{Reply, Seen};

pub(crate) const PRICE: u64 = 3_000;

/// How a refusal is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Http,
    InBand,
    /// Only the header: a gate of another make.
    HeaderOnly,
    /// Only the body: a proxy ate the header.
    BodyOnly,
}

pub(crate) struct Gate {
    network: Arc<Network>,
    keys: MasterKeys,
    signer: Signer,
    state: Mutex<State>,
}

struct State {
    form: Form,
    stream: bool,
    work: bool,
    invoices: u64,
    /// Calls left and the end of the current token, by payment hash.
    accounts: HashMap<PaymentHash, Account>,
    solved: u32,
    /// How many times a paid credential is called unverified before it is taken.
    late: u32,
}

struct Account {
    calls: i64,
    token: String,
    expired: bool,
}

impl Gate {
    pub(crate) fn new(network: Arc<Network>) -> Arc<Self> {
        let state = State {
            form: Form::Http,
            stream: false,
            work: false,
            invoices: 0,
            accounts: HashMap::new(),
            solved: 0,
            late: 0,
        };
        Arc::new(Self {
            network,
            keys: MasterKeys::new((1, [3; 32])),
            signer: Signer::generate().unwrap(),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn form(&self, form: Form) {
        self.state.lock().unwrap().form = form;
    }

    pub(crate) fn stream(&self) {
        self.state.lock().unwrap().stream = true;
    }

    pub(crate) fn take_work(&self) {
        self.state.lock().unwrap().work = true;
    }

    pub(crate) fn settle_late(&self, times: u32) {
        self.state.lock().unwrap().late = times;
    }

    pub(crate) fn expire_all(&self) {
        self.state.lock().unwrap().accounts.values_mut().for_each(|account| account.expired = true);
    }

    pub(crate) fn spend_all(&self) {
        self.state.lock().unwrap().accounts.values_mut().for_each(|account| account.calls = 0);
    }

    pub(crate) fn invoices(&self) -> u64 {
        self.state.lock().unwrap().invoices
    }

    /// What this gate answers.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        if seen.method() == "tools/list" {
            return Reply::result(seen, list(seen));
        }
        if let Some(solution) = seen.header("x-pow-solution") {
            return self.judge_work(seen, solution);
        }
        let Some(text) = seen.credential() else { return self.refuse(seen, "PAYMENT_REQUIRED", None) };
        let Ok(credential) = Credential::parse(text) else {
            return self.refuse(seen, "INVALID_MACAROON", None);
        };
        let hash = credential.preimage().payment_hash();
        let mut state = self.state.lock().unwrap();
        if state.late > 0 {
            state.late -= 1;
            drop(state);
            return self.refuse(seen, "PAYMENT_UNVERIFIED", None);
        }
        let Some(account) = state.accounts.get_mut(&hash) else {
            drop(state);
            return self.refuse(seen, "INVALID_MACAROON", None);
        };
        let shown = text.split(':').next().unwrap_or_default();
        if account.expired && account.token == shown {
            let left = account.calls;
            account.token = self.token(hash, 99);
            account.expired = false;
            let renewed = json!({"macaroon": account.token, "balance_msat": left * 3_000});
            drop(state);
            return self.refuse(seen, "CREDENTIAL_EXPIRED", (left > 0).then_some(renewed));
        }
        if account.token != shown {
            drop(state);
            return self.refuse(seen, "INVALID_MACAROON", None);
        }
        if account.calls == 0 {
            drop(state);
            return self.refuse(seen, "CREDENTIAL_SPENT", None);
        }
        let failed = seen.body["params"]["arguments"]["fail"] == true;
        let balance = (account.calls - 1) * 3_000;
        account.calls -= i64::from(!failed);
        let stream = state.stream;
        drop(state);
        let result = json!({
            "content": [{"type": "text", "text": "served"}],
            "isError": failed,
            "resultType": "complete",
        });
        let reply = if stream { events(seen, &result) } else { Reply::result(seen, result) };
        reply.with("octroi-price", "3000").with("octroi-balance", balance.to_string())
    }

    fn judge_work(&self, seen: &Seen, solution: &str) -> Reply {
        let good = Submission::from_header(solution).ok().is_some_and(|solution| {
            let request = Request { service: "s", tool: None, principal: None, arguments_digest: None };
            self.signer.verify(&solution.challenge, &solution.nonce, now(), &request).is_ok()
        });
        let first = std::mem::replace(&mut self.state.lock().unwrap().solved, 1) == 0;
        if good && first {
            let result = json!({"content": [{"type": "text", "text": "worked"}], "resultType": "complete"});
            return Reply::result(seen, result).with("octroi-price", "1").with("octroi-balance", "0");
        }
        self.refuse(seen, "INVALID_SOLUTION", None)
    }

    fn token(&self, hash: PaymentHash, number: u8) -> String {
        use base64::Engine as _;
        let token_id: TokenId = self.keys.new_token_id([number; 28]);
        let identifier = Identifier { payment_hash: hash, token_id };
        let root = self.keys.root_key(&token_id).unwrap();
        let macaroon = Macaroon::mint(&root, &identifier, "here", ["s_valid_until=99999999999"]).unwrap();
        base64::engine::general_purpose::STANDARD.encode(macaroon.encode_v2())
    }

    /// A fresh challenge, as the gate's till makes it.
    fn refuse(&self, seen: &Seen, reason: &str, renewed: Option<Value>) -> Reply {
        let calls: u64 = seen.header("octroi-calls").and_then(|calls| calls.parse().ok()).unwrap_or(1);
        let mut state = self.state.lock().unwrap();
        state.invoices += 1;
        let preimage = preimage(state.invoices);
        let hash = preimage.payment_hash();
        let token = self.token(hash, 1);
        let invoice = self.network.make(&preimage, &Terms::asking(PRICE * calls));
        let account = Account { calls: i64::try_from(calls).unwrap(), token: token.clone(), expired: false };
        state.accounts.insert(hash, account);
        let mut data = json!({
            "reason": reason,
            "price": {"msat": PRICE, "sats": 3.0},
            "l402": {
                "macaroon": token, "invoice": invoice, "payment_hash": hash.to_string(),
                "amount_msat": PRICE * calls, "calls": calls, "expires_at": now() + 600,
            },
        });
        if state.work {
            let binding = Binding {
                tool: None,
                principal: None,
                arguments_digest: None,
                calls: 1,
                service: "s".to_owned(),
            };
            let challenge = self.signer.issue(Difficulty::from_bits(6).unwrap(), binding, now(), 60, [1; 16]);
            data["pow"] = json!(challenge);
            data["pow"]["token"] = json!(challenge.to_token());
        }
        if let Some(renewed) = renewed {
            data["renewed"] = renewed;
        }
        say(state.form, seen, &token, &invoice, data)
    }
}

/// A refusal in its form.
pub(crate) fn say(form: Form, seen: &Seen, token: &str, invoice: &str, data: Value) -> Reply {
    use base64::Engine as _;
    let macaroon = base64::engine::general_purpose::STANDARD.decode(token).unwrap_or_default();
    let header = Challenge { macaroon: &macaroon, invoice }.header_value();
    match form {
        Form::Http => Reply::error(seen, 402, data).with("www-authenticate", header),
        Form::BodyOnly => Reply::error(seen, 402, data),
        Form::HeaderOnly => {
            Reply { status: 402, headers: vec![("www-authenticate", header)], body: b"pay".to_vec() }
        }
        Form::InBand => Reply::result(
            seen,
            json!({
                "content": [{"type": "text", "text": "pay"}],
                "isError": true,
                "_meta": {"dev.octroi/payment-required": data},
            }),
        ),
    }
}

fn list(seen: &Seen) -> Value {
    let price = json!({"dev.octroi/price": {"msat": 3_000, "sats": 3.0, "methods": ["l402"]}});
    if seen.body["params"]["cursor"].is_null() {
        return json!({"tools": [{"name": "paid", "description": "d", "_meta": price}], "nextCursor": "2"});
    }
    json!({"tools": [{"name": "free"}, {"no": "name"}]})
}

/// The result behind some progress, as a stream in pieces that split lines anywhere.
fn events(seen: &Seen, result: &Value) -> Reply {
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}});
    let other = json!({"jsonrpc": "2.0", "id": "other", "result": {"content": []}});
    let reply = json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result});
    let body =
        format!(": hello\r\n\r\nevent: message\ndata: {progress}\n\ndata: {other}\n\ndata: {reply}\n\n");
    let headers = vec![("content-type", "text/event-stream".to_owned())];
    Reply { status: 200, headers, body: body.into_bytes() }
}
