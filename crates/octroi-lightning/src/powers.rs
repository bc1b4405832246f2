//! What a credential allows: too little, and nothing is sold; too much, and whoever steals it spends.

/// What the credential given to a backend allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Powers {
    /// To make invoices, and to learn what became of them. Without it nothing is sold.
    pub receive: Power,
    /// To say what can be received. Without it an invoice may be made that cannot be paid.
    pub look: Power,
    /// To spend. A gate never does.
    pub spend: Power,
}

/// Whether something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It is.
    Allowed,
    /// It is not.
    Refused,
    /// The backend does not tell, or there is nothing to allow.
    Unknown,
}

impl Powers {
    /// Of a backend that does not tell.
    pub const UNKNOWN: Self = Self { receive: Power::Unknown, look: Power::Unknown, spend: Power::Unknown };

    /// Of a key to everything.
    pub const ALL: Self = Self { receive: Power::Allowed, look: Power::Allowed, spend: Power::Allowed };
}

impl Power {
    /// Allowed or not.
    #[must_use]
    pub const fn from_bool(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Refused }
    }

    /// Where all of several are needed.
    #[must_use]
    pub fn all(powers: impl IntoIterator<Item = Self>) -> Self {
        powers.into_iter().fold(Self::Allowed, |sum, power| match (sum, power) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Allowed, Self::Allowed) => Self::Allowed,
        })
    }

    /// Where one of several is enough.
    #[must_use]
    pub fn any(powers: impl IntoIterator<Item = Self>) -> Self {
        powers.into_iter().fold(Self::Refused, |sum, power| match (sum, power) {
            (Self::Allowed, _) | (_, Self::Allowed) => Self::Allowed,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Refused, Self::Refused) => Self::Refused,
        })
    }
}
