//! What the commands print for a person.

use serde_json::Value;

use super::LightningCommand;

fn text(value: &Value) -> String {
    match value {
        Value::Null => "not known".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn row(name: &str, value: &Value) {
    println!("{name:<14} {}", text(value));
}

pub(super) fn print(command: &LightningCommand, answer: &Value) {
    match command {
        LightningCommand::Status(_) => status(answer),
        LightningCommand::Channels(_) => {
            println!(
                "{:<64} {:<66} {:>12} {:>16} {:>16} usable",
                "channel", "peer", "sats", "can send msat", "can receive msat"
            );
            for channel in answer["channels"].as_array().into_iter().flatten() {
                println!(
                    "{:<64} {:<66} {:>12} {:>16} {:>16} {}",
                    text(&channel["id"]),
                    text(&channel["peer"]),
                    text(&channel["capacity_sat"]),
                    text(&channel["outbound_msat"]),
                    text(&channel["inbound_msat"]),
                    text(&channel["usable"]),
                );
            }
        }
        LightningCommand::Invoice { .. } => println!("{}", text(&answer["invoice"])),
        LightningCommand::Address(_) => println!("{}", text(&answer["address"])),
        LightningCommand::Pay(_) => {
            for name in ["amount_msat", "fee_msat", "payment_hash", "preimage"] {
                row(name, &answer[name]);
            }
        }
        LightningCommand::OpenChannel(_) => {
            println!("the channel is being opened; `octroi lightning channels` shows when it is usable");
        }
        LightningCommand::CloseChannel(_) => {
            println!("the channel is being closed; its money is in the wallet once that is confirmed");
        }
        LightningCommand::Withdraw(_) => println!("{}", text(&answer["transaction"])),
        LightningCommand::Init { .. } => {
            if let Some(words) = answer["words"].as_str() {
                println!("{words}");
                eprintln!(
                    "These words make the node's keys. They are shown this once. With them alone its coins on chain are found again, \
                     its channels are not: those need a backup."
                );
            }
        }
        LightningCommand::Passphrase(_) => {
            println!(
                "the new passphrase opens {}; name it in the configuration before the next start",
                text(&answer["changed"])
            );
        }
        LightningCommand::Restore { .. } => {
            println!(
                "restored to {}; never start the node it was made from again",
                text(&answer["restored"])
            );
        }
        LightningCommand::Backup { .. } => {
            println!(
                "copied to {}; never start a node from it while this one may still run",
                text(&answer["backup"])
            );
        }
    }
}

fn status(answer: &Value) {
    row("backend", &answer["backend"]);
    row("can", &answer["can"]);
    for name in ["id", "alias", "network", "block_height", "synced", "channels", "usable_channels"] {
        row(name, &answer["node"][name]);
    }
    for name in ["up", "inbound_msat", "outbound_msat", "onchain_sat"] {
        row(name, &answer[name]);
    }
    let alerts = answer["alerts"].as_object().into_iter().flatten();
    for (name, _) in alerts.filter(|(_, on)| **on == Value::Bool(true)) {
        println!("ALERT          {name}");
    }
    for closing in answer["closing"].as_array().into_iter().flatten() {
        let height = match &closing["at_height"] {
            Value::Null => String::new(),
            height => format!(", the last of it at block {height}"),
        };
        println!(
            "closing        {}: {} sat to come{height}; {}",
            text(&closing["channel"]),
            closing["sat"],
            text(&closing["reason"]),
        );
    }
    if let Some(error) = answer["error"].as_str() {
        println!("ERROR          {error}");
    }
}
