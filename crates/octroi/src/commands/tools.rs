//! `octroi tools`: what a server offers, and what it costs.

use std::process::ExitCode;

use clap::Args;
use octroi_agent::{Plain, PlainLines, ToolInfo};
use serde_json::{Value, json};
use url::Url;

use super::agent::{IdentityArgs, PayerArgs, WhenToAsk, finish, sats};
use super::call::{agent, as_somebody};

/// Most characters of a description in the table.
const DESCRIPTION_MAX: usize = 80;

/// List the tools of an MCP server with their prices. Listing costs nothing. Exit codes as of `call`.
#[derive(Clone, Debug, Args)]
pub struct ToolsArgs {
    /// The MCP endpoint, such as http://127.0.0.1:8402/mcp.
    url: Url,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    payer: PayerArgs,
    /// Speak MCP 2025-11-25, with a session.
    #[arg(long)]
    legacy: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Lists the tools.
pub fn run(args: &ToolsArgs) -> ExitCode {
    finish(args.json, async {
        let funds = args.payer.without_wallet().open(None, None).await?;
        let identity = args.identity.identity(&args.url, funds.payer.purse(), WhenToAsk::AtTerminal)?;
        let tools = as_somebody(&identity, |token| {
            let agent = agent(&args.url, &funds.payer, token, args.legacy);
            async move { agent?.list_tools().await }
        })
        .await?;
        if args.json {
            println!("{}", json!({"tools": tools.iter().map(tool_json).collect::<Vec<_>>()}));
        } else {
            print!("{}", table(&tools));
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn tool_json(tool: &ToolInfo) -> Value {
    json!({
        "name": tool.name,
        "description": tool.description,
        "price_msat": tool.price.map(|price| price.amount.as_i64()),
        "tool": tool.raw,
    })
}

fn table(tools: &[ToolInfo]) -> String {
    let price = |tool: &ToolInfo| match tool.price {
        Some(price) => sats(price.amount.as_i64()),
        None => "-".to_owned(),
    };
    let width =
        |of: &dyn Fn(&ToolInfo) -> usize, head: &str| tools.iter().map(of).max().unwrap_or(0).max(head.len());
    // Names and descriptions are the server's.
    let name = |tool: &ToolInfo| Plain(&tool.name).to_string();
    let names = width(&|tool| name(tool).chars().count(), "tool");
    let prices = width(&|tool| price(tool).len(), "a call");
    let mut out = format!("{:names$}  {:>prices$}\n", "tool", "a call");
    for tool in tools {
        let description = tool.description.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
        let description: String = description.chars().take(DESCRIPTION_MAX).collect();
        let description = PlainLines(&description);
        let line = format!("{:names$}  {:>prices$}  {description}", name(tool), price(tool));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_prices_and_no_control_characters() {
        let tool = |name: &str, description: &str| ToolInfo {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            price: None,
            raw: Value::Null,
        };
        let text = table(&[tool("image_describe", "says\u{1b}[2J what\nmore"), tool("x", "")]);
        assert_eq!(
            text,
            "tool            a call\nimage_describe       -  says\\u{1b}[2J what\nx                    -\n"
        );
    }
}
