//! An agent built on the Rust SDK that pays for its calls: one line more than one that does not.
//!
//! ```sh
//! cargo run -p octroi-agent --features rmcp --example paying_agent -- \
//!     http://127.0.0.1:8402/mcp data_query '{"query":"carts"}' http://127.0.0.1:9740 PASSWORD
//! ```

use std::sync::Arc;

use octroi_agent::rmcp::PayingClient;
use octroi_agent::{Budget, Payer, Policy};
use octroi_lightning::{Password, phoenixd::Phoenixd};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, tool, arguments, wallet, password] = words.as_slice() else {
        return Err("expected URL TOOL ARGUMENTS WALLET PASSWORD".into());
    };
    let wallet = Phoenixd::new(&wallet.parse()?, Password::new(password.as_str()))?;
    // At most 10 sats a call and 100 in all.
    let payer = Payer::builder()
        .wallet(Arc::new(wallet))
        .policy(Policy::cautious())
        .budget(Budget { per_call_msat: 10_000, total_msat: 100_000 })
        .build();

    // The line: without it this would be `reqwest::Client::new()`.
    let http = PayingClient::new(reqwest::Client::new(), Arc::clone(&payer));

    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    let client = ().serve(StreamableHttpClientTransport::with_client(http, config)).await?;
    let arguments = serde_json::from_str(arguments)?;
    let call = CallToolRequestParams::new(tool.clone()).with_arguments(arguments);
    let result = client.call_tool(call).await?;
    println!("{}", serde_json::to_string_pretty(&result)?);
    println!("spent: {}", payer.spent());
    client.cancel().await?;
    Ok(())
}
