//! Whether the credential of a node allows what a gate needs, and no more.

use octroi_lightning::cln::Cln as ClnNode;
use octroi_lightning::lnd::Lnd as LndNode;
use octroi_lightning::{Password, Power, Powers};
use zeroize::Zeroizing;

use super::{Cln, LightningBackend, Macaroon};

impl LightningBackend {
    /// What its credential says of itself, without asking the node.
    pub fn known_powers(&self) -> Powers {
        match self {
            Self::Lnd(lnd) => match &lnd.macaroon {
                Macaroon::Hex(hex) => LndNode::powers_of(&Password::new(hex.reveal())),
                // One that cannot be read here is no mistake: the gate may run elsewhere.
                Macaroon::File(path) => std::fs::read(path).map_or(Powers::UNKNOWN, |bytes| {
                    LndNode::powers_of(&Password::new(hex::encode(Zeroizing::new(bytes).as_slice())))
                }),
            },
            Self::Cln(Cln::Rest { rune, .. }) => ClnNode::powers_of(&Password::new(rune.reveal())),
            Self::Cln(Cln::Socket(_)) => Powers::ALL,
            _ => Powers::UNKNOWN,
        }
    }

    /// Remarks on what a credential allows, one sentence each: too little first.
    pub fn power_remarks(&self, powers: Powers) -> Vec<String> {
        let Some((name, recipe)) = self.credential() else { return Vec::new() };
        let mut remarks = Vec::new();
        if powers.receive == Power::Refused {
            remarks.push(format!("{name} does not allow to sell; enough is {recipe}."));
        }
        if powers.look == Power::Refused {
            remarks.push(format!(
                "{name} does not allow to see what the node can receive: an invoice may be made that cannot be paid; enough \
                 is {recipe}."
            ));
        }
        if powers.spend == Power::Allowed {
            remarks.push(format!(
                "{name} can spend the node's money, which the gate never does; enough is {recipe}."
            ));
        }
        remarks
    }

    /// What the credential is called, and the least that is enough.
    const fn credential(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Embedded(_) | Self::Lnurl(_) => return None,
            Self::Lnd(_) => (
                "LND's macaroon",
                "`lncli bakemacaroon invoices:read invoices:write offchain:read info:read`",
            ),
            Self::Cln(Cln::Socket(_)) => ("Core Lightning's socket", "a rune, as docs/lightning.md has it"),
            Self::Cln(Cln::Rest { .. }) => ("Core Lightning's rune", "a rune as docs/lightning.md has it"),
            Self::Phoenixd(_) => ("phoenixd's password", "http-password-limited-access of its phoenix.conf"),
            Self::Lnbits(_) => ("LNbits' key", "the wallet's invoice key"),
            Self::Nwc(_) => (
                "the wallet's connection",
                "an app connection with make_invoice, lookup_invoice and notifications alone",
            ),
        })
    }
}
