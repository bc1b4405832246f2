//! What a backend can do, as far as backends differ.

use std::fmt;

/// What a backend can do, as far as backends differ. Known before anything is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Invoices for parts of a satoshi. Without it amounts are rounded up to whole satoshis.
    pub msat_invoices: bool,
    /// [`crate::InvoiceRequest::preimage`] is taken.
    pub chosen_preimage: bool,
    /// How settlements are learned of.
    pub settlements: Settlements,
    /// What is known of settlements that the ledger has long had.
    pub past: Past,
    /// Somebody else than the operator's own node knows preimages before they are paid for, so that only the
    /// backend's word says that money arrived.
    pub custodial: bool,
    /// [`crate::LightningNode::pay`] works with the credentials given.
    pub pay: bool,
    /// The node enforces `max_fee` of [`crate::LightningNode::pay`].
    pub fee_limit: bool,
    /// [`crate::LightningNode::balances`] works.
    pub balances: bool,
    /// [`crate::Balances::inbound`] is said.
    pub inbound: bool,
    /// [`crate::LightningNode::channels`] shows them.
    pub channels: bool,
    /// [`crate::LightningNode::forget`] frees something.
    pub forget: bool,
    /// The backend buys room to receive when it is needed, so [`crate::Balances::inbound`] is no limit.
    pub buys_inbound: bool,
}

impl Capabilities {
    /// What every backend can: make invoices over whole satoshis, and say what became of them.
    pub const LEAST: Self = Self {
        msat_invoices: false,
        chosen_preimage: false,
        settlements: Settlements::Polled,
        past: Past::ByHash,
        custodial: false,
        pay: false,
        fee_limit: false,
        balances: false,
        inbound: false,
        channels: false,
        forget: false,
        buys_inbound: false,
    };

    /// What the node inside this process can, without a liquidity provider. Known to a binary built without it, too.
    pub const EMBEDDED: Self = Self {
        msat_invoices: true,
        settlements: Settlements::Resumable,
        past: Past::Listed,
        pay: true,
        fee_limit: true,
        balances: true,
        inbound: true,
        channels: true,
        forget: true,
        ..Self::LEAST
    };
}

/// How a backend tells of settlements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlements {
    /// A stream that is taken up again where the cursor says: nothing is missed, whatever happened in between.
    Resumable,
    /// A list, or one invoice after the other, is asked again and again.
    Polled,
}

/// What a backend says of settlements after they were acknowledged: what a ledger can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// [`crate::LightningNode::settled_since`] lists them, as far back as the backend keeps records.
    Listed,
    /// [`crate::LightningNode::lookup`] says what became of each invoice whose hash is known.
    ByHash,
    /// Nothing: an invoice that was acknowledged is forgotten.
    Forgotten,
}

impl fmt::Display for Capabilities {
    /// One line for an operator: what can be done, then what cannot.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { msat_invoices, pay, fee_limit, balances, channels, custodial, .. } = *self;
        let settlements = match self.settlements {
            Settlements::Resumable => "settlements as a stream",
            Settlements::Polled => "settlements by asking",
        };
        let words = [
            (true, settlements, ""),
            (msat_invoices, "prices to the millisatoshi", "prices rounded up to whole satoshis"),
            (self.chosen_preimage, "chosen preimages", "no chosen preimages"),
            (self.inbound, "knows what it can receive", "does not know what it can receive"),
            (self.buys_inbound, "buys room to receive", "buys no room to receive"),
            (balances, "balances", "no balances"),
            (channels, "channels", "no channels"),
            (
                pay && fee_limit,
                "pays within a fee limit",
                if pay { "pays without a fee limit" } else { "pays nobody" },
            ),
            (!custodial, "only this node knows preimages", "CUSTODIAL: somebody else knows the preimages"),
        ];
        let words: Vec<&str> = words.iter().map(|(can, yes, no)| if *can { *yes } else { *no }).collect();
        out.write_str(&words.join(", "))
    }
}
