//! Any tower HTTP client pays with one layer: here hyper's, fetching a URL that may ask for L402.
//!
//! ```sh
//! cargo run -p octroi-agent --example paid_fetch -- http://127.0.0.1:8081/goods http://127.0.0.1:9740 PASSWORD
//! ```

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use octroi_agent::{Budget, PayLayer, Payer};
use octroi_lightning::{Password, phoenixd::Phoenixd};
use tower::{ServiceBuilder, ServiceExt};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, wallet, password] = words.as_slice() else { return Err("expected URL WALLET PASSWORD".into()) };
    let wallet = Phoenixd::new(&wallet.parse()?, Password::new(password.as_str()))?;
    let budget = Budget { per_call_msat: 10_000, total_msat: 10_000 };
    let payer = Payer::builder().wallet(Arc::new(wallet)).budget(budget).build();

    let plain = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let paying = ServiceBuilder::new().layer(PayLayer::new(Arc::clone(&payer))).service(plain);

    let request = http::Request::get(url).body(Full::default())?;
    let answer = paying.oneshot(request).await?;
    println!("{}, {} spent", answer.status(), payer.spent());
    print!("{}", String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()));
    Ok(())
}
