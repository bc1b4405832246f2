//! The Rust SDK's client with the wrapper under its transport: it pays, and knows nothing of it.

use std::sync::Arc;

use octroi_agent::rmcp::PayingClient;
use octroi_agent::{Budget, Payer};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::json;

use crate::gate::{Form, Gate};
use crate::lightning::{Network, Wallet};
use crate::server::{Reply, Server};

#[tokio::test]
async fn one_line_more_and_it_pays() {
    for form in [Form::Http, Form::InBand, Form::BodyOnly] {
        let network = Arc::new(Network::default());
        let gate = Gate::new(Arc::clone(&network));
        gate.form(form);
        let server = Server::start(move |seen| match seen.method() {
            "initialize" => Reply::result(
                seen,
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}),
            ),
            "tools/call" => gate.answer(seen),
            "notifications/initialized" => Reply { status: 202, headers: Vec::new(), body: Vec::new() },
            _ => Reply { status: 405, headers: Vec::new(), body: Vec::new() },
        })
        .await;
        let wallet = Wallet::new(network);
        let budget = Budget { per_call_msat: 5_000, total_msat: 6_000 };
        let payer = Payer::builder().wallet(wallet.clone()).budget(budget).build();
        let http = PayingClient::new(reqwest::Client::new(), Arc::clone(&payer));
        let config = StreamableHttpClientTransportConfig::with_uri(server.url.as_str());
        let client = ().serve(StreamableHttpClientTransport::with_client(http, config)).await.unwrap();
        let call = |fail: bool| {
            let arguments = json!({"fail": fail}).as_object().unwrap().clone();
            client.call_tool(CallToolRequestParams::new("paid").with_arguments(arguments))
        };
        // A call that fails is not charged: the next one is made with the same credential.
        assert_eq!(call(true).await.unwrap().is_error, Some(true));
        for _ in 0..2 {
            let served = serde_json::to_value(call(false).await.unwrap()).unwrap();
            assert_eq!(served["content"][0]["text"], "served", "{served}");
        }
        assert_eq!((wallet.payments(), payer.spent().as_i64()), (2, 6_000));
        // Beyond the budget the refusal is the answer, whichever way it is said.
        let refused = call(false).await;
        assert!(refused.is_err() || refused.is_ok_and(|result| result.is_error == Some(true)));
        assert_eq!(wallet.payments(), 2);
        client.cancel().await.unwrap();
    }
}
