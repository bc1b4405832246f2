//! Gates of other makes: one that speaks exactly as Aperture does, and the same when it lies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use lightning_invoice::Currency;
use octroi_agent::{
    AgentError, BillError, Budget, Charged, HttpClient, PayLayer, Payer, Policy, Purse, Unpaid,
};
use octroi_l402::{Credential, Identifier, Macaroon, MasterKeys, Preimage};
use tower::{Layer, ServiceExt};

use crate::lightning::{Network, Terms, Wallet, now, preimage};
use crate::server::{Reply, Seen, Server};

/// What a lying gate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// An invoice for more than the budget.
    Dear,
    /// No amount: the payer is to choose.
    NoAmount,
    /// A token for another payment.
    OtherHash,
    Expired,
    /// Real money where the wallet is on regtest.
    OtherNetwork,
    /// Whatever is paid, it is refused.
    Endless,
    /// Each refusal asks for more.
    Raising,
    /// The paid request is sent to somebody else.
    Redirect,
}

/// Two header lines, `LSAT` first; standard base64; whole sats; a macaroon V2 with location `lsat`. A credential is read by
/// the pattern `(LSAT|L402) (.*?):([a-f0-9]{64})`, or from a `Macaroon` header in hex with the preimage as a caveat.
struct Aperture {
    network: Arc<Network>,
    lie: Lie,
    /// How the headers are written.
    form: &'static str,
    number: AtomicU64,
    elsewhere: Mutex<Option<String>>,
    revoked: AtomicBool,
}

impl Aperture {
    fn new(lie: Lie, form: &'static str) -> Arc<Self> {
        let network = Arc::new(Network::default());
        let (number, elsewhere, revoked) = (AtomicU64::new(0), Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { network, lie, form, number, elsewhere, revoked })
    }

    fn answer(&self, seen: &Seen) -> Reply {
        let served = Reply {
            status: 200,
            headers: vec![("content-type", "text/plain".to_owned())],
            body: b"the goods".to_vec(),
        };
        if seen.path == "/free"
            || (self.lie != Lie::Endless && self.lie != Lie::Raising && self.is_paid(seen))
        {
            if self.lie == Lie::Redirect {
                let place = self.elsewhere.lock().unwrap().clone().unwrap();
                return Reply { status: 307, ..served }.with("location", place);
            }
            return served;
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (right, wrong) = (preimage(number), preimage(number + 1_000_000));
        let amount_msat = match self.lie {
            Lie::Dear => Some(5_001),
            Lie::NoAmount => None,
            Lie::Raising => Some(3_000 + 1_000 * number),
            _ => Some(3_000),
        };
        let terms = Terms {
            amount_msat,
            created_at: if self.lie == Lie::Expired { now() - 90_000 } else { now() },
            expiry: 86_400,
            currency: if self.lie == Lie::OtherNetwork { Currency::Bitcoin } else { Currency::Regtest },
        };
        let invoice = self.network.make(&right, &terms);
        let token = token(if self.lie == Lie::OtherHash { &wrong } else { &right });
        let text = |engine: &dyn Fn(&[u8]) -> String| engine(&token);
        let padded = text(&|bytes| STANDARD.encode(bytes));
        let refused = Reply { status: 402, headers: vec![], body: b"payment required\n".to_vec() };
        let line = |line: String, reply: Reply| reply.with("www-authenticate", line);
        match self.form {
            "lsat" => line(format!("LSAT macaroon=\"{padded}\", invoice=\"{invoice}\""), refused),
            "token" => {
                line(format!("L402 version=\"0\", token=\"{padded}\", invoice=\"{invoice}\""), refused)
            }
            "url-safe" => line(
                format!("l402 invoice={invoice}, macaroon={}", text(&|b| URL_SAFE_NO_PAD.encode(b))),
                refused,
            ),
            "unpadded" => line(
                format!("L402 macaroon='{}' , invoice='{invoice}'", text(&|b| STANDARD_NO_PAD.encode(b))),
                refused,
            ),
            "url-padded" => line(
                format!(
                    "Bearer realm=\"x\", L402 macaroon=\"{}\", invoice=\"{invoice}\"",
                    text(&|b| URL_SAFE.encode(b))
                ),
                refused,
            ),
            _ => {
                let both = line(format!("LSAT macaroon=\"{padded}\", invoice=\"{invoice}\""), refused);
                line(format!("L402 macaroon=\"{padded}\", invoice=\"{invoice}\""), both)
            }
        }
    }

    fn is_paid(&self, seen: &Seen) -> bool {
        if self.revoked.load(Ordering::Relaxed) {
            return false;
        }
        let credential = if let Some(hex) = seen.header("macaroon") {
            Credential::from_macaroon_hex(hex).ok()
        } else {
            let shown = seen.header("authorization").unwrap_or_default();
            let text = shown.strip_prefix("L402 ").or_else(|| shown.strip_prefix("LSAT "));
            text.and_then(|text| Credential::parse(text).ok())
        };
        credential.is_some_and(|credential| {
            let paid = credential
                .claimed_identifier()
                .is_ok_and(|id| id.payment_hash == credential.preimage().payment_hash());
            let root = MasterKeys::new((1, [3; 32]));
            let id = credential.claimed_identifier().unwrap();
            let macaroon = octroi_l402::MacaroonView::decode(credential.macaroon()).unwrap();
            paid && macaroon.is_signed_by(&root.root_key(&id.token_id).unwrap())
        })
    }
}

fn token(preimage: &Preimage) -> Vec<u8> {
    let keys = MasterKeys::new((1, [3; 32]));
    let token_id = keys.new_token_id([1; 28]);
    let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
    let caveats = ["services=api:0", "api_capabilities=", "api_valid_until=99999999999"];
    Macaroon::mint(&keys.root_key(&token_id).unwrap(), &identifier, "lsat", caveats).unwrap().encode_v2()
}

/// Somebody with a wallet and a budget of 9 sats.
fn payer(gate: &Aperture) -> (Arc<Wallet>, Arc<Payer>) {
    let wallet = Wallet::new(Arc::clone(&gate.network));
    let budget = Budget { per_call_msat: 5_000, total_msat: 9_000 };
    let policy = Policy { per_day: Some(octroi_l402::Msat::new(9_000)), ..Policy::default() };
    (Arc::clone(&wallet), Payer::builder().wallet(wallet).budget(budget).policy(policy).build())
}

async fn get(
    payer: &Arc<Payer>,
    url: &str,
    token: Option<&str>,
) -> (u16, String, Option<Arc<AgentError>>, Charged) {
    let mut request = http::Request::get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let client = PayLayer::new(Arc::clone(payer)).layer(HttpClient::new().unwrap());
    let answer = client.oneshot(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let why = head.extensions.get::<Unpaid>().map(|unpaid| Arc::clone(&unpaid.0));
    let charged = head.extensions.get().copied().unwrap_or_default();
    (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), why, charged)
}

async fn serve(gate: &Arc<Aperture>) -> Server {
    let answering = Arc::clone(gate);
    Server::start(move |seen| answering.answer(seen)).await
}

#[tokio::test]
async fn every_way_of_asking_is_answered_once_and_the_token_is_used_again() {
    for form in ["aperture", "lsat", "token", "url-safe", "unpadded", "url-padded"] {
        let gate = Aperture::new(Lie::None, form);
        let server = serve(&gate).await;
        let (wallet, payer) = payer(&gate);
        let at = |path: &str| server.url.join(path).unwrap().to_string();
        let (status, body, why, charged) = get(&payer, &at("/a?x=1"), None).await;
        assert!(status == 200 && body == "the goods" && charged.paid.is_some(), "{form}: {status} {why:?}");
        // The token is good for everything there until it is refused.
        for path in ["/a", "/b/c", "/a?x=2"] {
            let (status, _, _, charged) = get(&payer, &at(path), None).await;
            assert!(status == 200 && charged.paid.is_none(), "{form} {path}");
        }
        assert_eq!(wallet.payments(), 1, "{form}");
        let credential = server.requests().pop().unwrap();
        let scheme = if form == "lsat" || form == "aperture" { "LSAT " } else { "L402 " };
        assert!(credential.header("authorization").unwrap().starts_with(scheme), "{form}");
    }
}

#[tokio::test]
async fn an_access_token_keeps_its_header_and_the_macaroon_gets_its_own() {
    let gate = Aperture::new(Lie::None, "aperture");
    let server = serve(&gate).await;
    let (wallet, payer) = payer(&gate);
    let (status, ..) = get(&payer, server.url.as_str(), Some("to.ken")).await;
    assert_eq!((status, wallet.payments()), (200, 1));
    let last = server.requests().pop().unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer to.ken"));
    assert!(last.header("macaroon").is_some());
}

#[tokio::test]
async fn a_token_that_is_refused_is_dropped_and_bought_anew() {
    let gate = Aperture::new(Lie::None, "aperture");
    let server = serve(&gate).await;
    let (wallet, payer) = payer(&gate);
    assert_eq!(get(&payer, server.url.as_str(), None).await.0, 200);
    gate.revoked.store(true, Ordering::Relaxed);
    let (status, _, why, _) = get(&payer, server.url.as_str(), None).await;
    assert!(status == 402 && matches!(why.as_deref(), Some(AgentError::StillUnpaid { .. })), "{why:?}");
    assert_eq!(wallet.payments(), 2, "once for each request at most");
    gate.revoked.store(false, Ordering::Relaxed);
    assert_eq!(get(&payer, server.url.as_str(), None).await.0, 200);
    assert_eq!(wallet.payments(), 2, "what was bought last is kept");
}

#[tokio::test]
async fn no_lie_costs_more_than_the_policy_allows() {
    for lie in [
        Lie::Dear,
        Lie::NoAmount,
        Lie::OtherHash,
        Lie::Expired,
        Lie::OtherNetwork,
        Lie::Endless,
        Lie::Raising,
        Lie::Redirect,
    ] {
        let gate = Aperture::new(lie, "aperture");
        let server = serve(&gate).await;
        let thief = Server::start(|_| Reply { status: 200, headers: vec![], body: vec![] }).await;
        *gate.elsewhere.lock().unwrap() = Some(thief.url.to_string());
        let (wallet, payer) = payer(&gate);
        for _ in 0..6 {
            let (status, _, why, _) = get(&payer, server.url.as_str(), None).await;
            let right = match (lie, why.as_deref()) {
                (Lie::Dear, Some(AgentError::OverBudget { limit, .. })) => *limit == "per call",
                (Lie::NoAmount, Some(AgentError::Bill(BillError::NoAmount))) => true,
                (Lie::OtherHash, Some(AgentError::Bill(BillError::OtherPayment))) => true,
                (Lie::Expired, Some(AgentError::Bill(BillError::Expired))) => true,
                (Lie::OtherNetwork, Some(AgentError::Bill(BillError::Network { .. }))) => true,
                (Lie::Endless | Lie::Raising, Some(AgentError::StillUnpaid { .. })) => true,
                (Lie::Endless | Lie::Raising, Some(AgentError::OverBudget { .. })) => true,
                // The client's own policy stops; the redirect is the answer.
                (Lie::Redirect, None) => status == 307,
                _ => false,
            };
            assert!(right, "{lie:?}: {status} {why:?}");
        }
        let most = match lie {
            Lie::Endless | Lie::Raising => 9_000,
            Lie::Redirect => 3_000,
            _ => 0,
        };
        assert!(wallet.given_msat() <= most, "{lie:?}: {}", wallet.given_msat());
        assert_eq!(wallet.given_msat(), payer.spent().as_i64(), "{lie:?}");
        assert!(thief.requests().is_empty(), "{lie:?}");
    }
}

#[tokio::test]
async fn limits_hold_across_processes_and_restarts() {
    let gate = Aperture::new(Lie::Endless, "aperture");
    let server = serve(&gate).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.db");
    let wallet = Wallet::new(Arc::clone(&gate.network));
    let plenty = Budget { per_call_msat: 5_000, total_msat: i64::MAX };
    let policy = Policy { per_hour: Some(octroi_l402::Msat::new(10_000)), ..Policy::default() };
    let payer = || {
        let purse = Arc::new(Purse::open(&path).unwrap());
        Payer::builder().wallet(wallet.clone()).budget(plenty).policy(policy.clone()).purse(purse).build()
    };
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (url, hands) = (server.url.clone(), [payer(), payer()]);
            tokio::spawn(async move {
                for round in 0..6 {
                    let _ = get(&hands[round % 2], url.as_str(), None).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(wallet.given_msat(), 9_000, "three payments of three sats fit into ten");
}
