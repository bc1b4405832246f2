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
        settlements: Settlements::Asked,
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
        settlements: Settlements::Stream,
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
    Stream,
    /// Told at once; a list says what came while nobody listened.
    ToldAndListed,
    /// A list is asked again and again.
    Listed,
    /// Told at once; after a cut each open invoice is asked about.
    ToldAndAsked,
    /// Each open invoice is asked about.
    Asked,
    /// One of the last four, as the wallet behind it does: [`crate::LightningNode::settlements`] says which.
    AsTheWalletDoes,
}

impl Settlements {
    /// The name of it for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::ToldAndListed => "told_and_listed",
            Self::Listed => "listed",
            Self::ToldAndAsked => "told_and_asked",
            Self::Asked => "asked",
            Self::AsTheWalletDoes => "as_the_wallet_does",
        }
    }

    /// In words, for an operator.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Stream => "settlements as a stream, taken up again after a cut",
            Self::ToldAndListed => "settlements told at once, and from a list after a cut",
            Self::Listed => "settlements from a list that is asked again and again",
            Self::ToldAndAsked => {
                "settlements told at once, and by asking about each open invoice after a cut"
            }
            Self::Asked => "settlements by asking about each open invoice",
            Self::AsTheWalletDoes => "settlements told at once if the wallet does, else by asking",
        }
    }
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
        let settlements = self.settlements.words();
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
