//! The published template of the dual-layer pattern, started as it is with two flags.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

use octroi_pow::solver;
use octroi_testkit::issuer::{Issuer, SigningAlgorithm, TokenSpec};
use octroi_testkit::upstream::sample::Sample;
use serde_json::json;

use crate::harness::{Caller, Launch};

/// The audience that the template names.
const AUDIENCE: &str = "https://api.mcp-server.internal";

#[tokio::test(flavor = "multi_thread")]
async fn the_published_template_serves() {
    let sample = Sample::start().await.unwrap();
    let issuer = Issuer::start().await.unwrap();
    // As Auth0 signs.
    issuer.add_key(SigningAlgorithm::Rs256).unwrap();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dual-layer-template.json");
    let upstream = sample.url();
    // The issuer is on this machine, which an operator has to allow.
    let local = ["allow_insecure_http", "allow_private_addresses"]
        .map(|field| format!("mcp_server.auth.identity.{field}=true"));
    let mut args = vec!["--upstream", &upstream, "--issuer", issuer.url(), "--listen", "127.0.0.1:0"];
    local.iter().for_each(|set| args.extend(["--set", set]));
    let gate = Launch::of_file(&template, &args).start().await;
    let caller = Caller::of(&gate);
    let describe = || caller.call("image_describe", json!({"url": "http://x/y.png"}));

    describe().send().await.refused(401, "MISSING_TOKEN");
    let token = issuer.token(TokenSpec::new("alice", AUDIENCE));
    let refused = describe().bearer(&token).send().await;
    let puzzle = &refused.refused(503, "NO_LIQUIDITY").data()["pow"];
    assert_eq!(puzzle["difficulty"], 20, "{puzzle}");
    assert_eq!(refused.headers["retry-after"], "5");

    let puzzle = puzzle.clone();
    let nonce = tokio::task::spawn_blocking({
        let puzzle = puzzle.clone();
        move || {
            let target = hex::decode(puzzle["target"].as_str().unwrap()).unwrap().try_into().unwrap();
            let (cancel, tried) = (AtomicBool::new(false), AtomicU64::new(0));
            let salt = puzzle["salt"].as_str().unwrap();
            solver::solve(salt, &target, solver::all_cores(), &cancel, &tried).unwrap()
        }
    });
    let solution = format!("challenge={},nonce={}", puzzle["token"].as_str().unwrap(), nonce.await.unwrap());
    let described = describe().bearer(&token).header("x-pow-solution", &solution).send().await;
    assert!(described.worked().contains("two towers"));
    caller.call("status", json!({})).send().await.worked();
    caller.call("unreliable", json!({})).bearer(&token).send().await.refused(403, "TOOL_FORBIDDEN");
}
