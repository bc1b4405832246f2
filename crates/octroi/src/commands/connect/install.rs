//! What a desktop client needs to start the bridge.

use std::ffi::OsString;
use std::fmt::Write as _;

use serde_json::{Value, json};
use url::Url;

/// Flags that are about printing the blocks, and how many values follow them.
const OWN_FLAGS: [(&str, usize); 2] = [("--install", 0), ("--name", 1)];

/// The blocks for every client, with the arguments of this very command line but those about installing.
pub(super) fn blocks(url: &Url, name: Option<&str>, line: impl Iterator<Item = OsString>) -> String {
    let host = url.host_str().unwrap_or("octroi").trim_matches(['[', ']']).replace(['.', ':'], "-");
    let name = name.map_or(host, str::to_owned);
    let program = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    let program = program.unwrap_or_else(|| "octroi".to_owned());
    let arguments = arguments(line.skip(1).filter_map(|word| word.into_string().ok()));
    let server = json!({"command": program, "args": arguments});
    let claude = pretty(&json!({"mcpServers": {&name: server}}));
    let code = pretty(&json!({"servers": {&name: {"type": "stdio", "command": program, "args": arguments}}}));
    let mut out = String::new();
    for (place, block) in [
        ("Claude Desktop: Settings, Developer, Edit Config (claude_desktop_config.json)", claude.clone()),
        (
            "Claude Code, as a command",
            format!("claude mcp add {} -- {}", quoted(&name), command(&program, &arguments)),
        ),
        ("Claude Code, for everybody in a project: .mcp.json", claude.clone()),
        ("Cursor: ~/.cursor/mcp.json", claude),
        ("VS Code: .vscode/mcp.json, or the command \"MCP: Open User Configuration\"", code),
    ] {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "# {place}\n{block}\n");
    }
    out
}

/// The words after the program's name, without those about installing.
fn arguments(words: impl Iterator<Item = String>) -> Vec<String> {
    let (mut kept, mut skip) = (Vec::new(), 0);
    for word in words {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        match OWN_FLAGS.iter().find(|(flag, _)| word == *flag) {
            Some((_, values)) => skip = *values,
            None if word.starts_with("--name=") => {}
            None => kept.push(word),
        }
    }
    kept
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn command(program: &str, arguments: &[String]) -> String {
    let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_gets_the_same_command() {
        let line = [
            "octroi",
            "connect",
            "https://gate.example.com/mcp",
            "--install",
            "--name",
            "my gate",
            "--wallet",
            "file:/a b",
        ];
        let url = Url::parse("https://gate.example.com/mcp").unwrap();
        let text = blocks(&url, Some("my gate"), line.map(OsString::from).into_iter());
        assert_eq!(text.matches("\"connect\"").count(), 4, "{text}");
        assert!(
            text.contains("claude mcp add 'my gate' -- ") && text.contains("--wallet 'file:/a b'"),
            "{text}"
        );
        assert!(!text.contains("--install") && !text.contains("--name"), "{text}");
        let text = blocks(&url, None, line.map(OsString::from).into_iter());
        assert!(text.contains("\"gate-example-com\""), "{text}");
    }
}
