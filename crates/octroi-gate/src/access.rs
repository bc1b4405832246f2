//! Who may do what: the token, its scopes, the caller's standing, and finer rules, in this order.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use octroi_identity::Caller;

use crate::credentials::{Presented, Token, TokenScheme};
use crate::desk::{Needs, Shown};
use crate::gate::Gate;
use crate::policy::{Judgement, Question, Rule, SubjectKind};
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::till::{Tender, Vouch};

/// A request, as far as it matters who makes it.
pub(crate) struct Asking<'a> {
    pub(crate) presented: &'a Presented<'a>,
    pub(crate) tender: &'a Tender<'a>,
    pub(crate) method: &'a Method,
    pub(crate) rule: &'a Rule,
    /// What is called, where the rules speak of it.
    pub(crate) subject: Option<(SubjectKind, &'a str)>,
    /// The raw arguments.
    pub(crate) arguments: Option<&'a [u8]>,
    pub(crate) peer: Option<IpAddr>,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// Who makes a request.
#[derive(Default)]
pub(crate) struct Who {
    /// Nobody, where no token was shown and none was needed.
    pub(crate) caller: Option<Arc<Caller>>,
    /// The token that the caller's credential stands for, where it showed none itself.
    pub(crate) vouch: Option<Arc<Vouch>>,
}

impl Gate {
    /// Who makes the request, if the request is for them.
    ///
    /// # Errors
    /// 401 where another token would help, 403 where none would, 503 where nobody can tell.
    pub(crate) async fn admit(&self, asking: &Asking<'_>) -> Result<Who, Box<Refusal>> {
        let rule = asking.rule;
        if rule.forbidden {
            return Err(forbidden("the policy of this server lets nobody call this"));
        }
        let who = self.who(asking).await?;
        let caller = &who.caller;
        if let Some(caller) = caller.as_deref()
            && let Some(missing) = rule.standing.missing(caller)
        {
            return Err(forbidden(format!("this call is for callers with {missing}")));
        }
        let (Some(fine), Some((kind, name))) = (&self.rules, asking.subject) else { return Ok(who) };
        let question = Question {
            kind,
            name,
            caller: caller.as_deref(),
            arguments: asking.arguments,
            price: rule.price.as_ref().map(|price| {
                // No price follows from wrong arguments, which is told when it is asked for; until then the dearest counts.
                price.for_call(asking.arguments).unwrap_or_else(|_| price.bounds().1)
            }),
            peer: asking.peer,
            now: asking.now,
        };
        match fine.judge(&question) {
            Judgement::Permitted => Ok(who),
            Judgement::Denied(_) if caller.is_none() && self.identity().is_some() => {
                Err(self.nobody(rule, asking.now))
            }
            Judgement::Denied(advice) => Err(forbidden(
                advice.unwrap_or_else(|| "the policy of this server does not permit this call".to_owned()),
            )),
            Judgement::Unjudgeable(text) => Err(Box::new(Refusal::new(Reason::InvalidArguments, text))),
        }
    }

    /// Whether a list that shows only what its reader may call should show this: some call of it might be admitted, as
    /// far as can be told without one.
    pub(crate) fn might_admit(
        &self,
        (kind, name): (SubjectKind, &str),
        caller: Option<&Caller>,
        peer: Option<IpAddr>,
        now: u64,
    ) -> bool {
        let rule = self.policy().rule(kind, name);
        let known = match caller {
            Some(caller) => {
                let scopes = self.identity().map(|desk| desk.required_scopes()).unwrap_or_default();
                let mut needed = scopes.iter().chain(&rule.scopes);
                needed.all(|scope| self.policy().hierarchy.grants(&caller.scopes, scope))
                    && rule.standing.missing(caller).is_none()
            }
            None => !self.needs_token(rule),
        };
        if rule.forbidden || !known {
            return false;
        }
        // The cheapest call, for the list shows what some call would be.
        let price = rule.price.as_ref().map(|price| price.bounds().0);
        let question = Question { kind, name, caller, arguments: None, price, peer, now };
        self.rules.as_ref().is_none_or(|fine| fine.might_permit(&question))
    }

    pub(crate) fn needs<'a>(&'a self, rule: &'a Rule, now: u64) -> Needs<'a> {
        Needs { scopes: &rule.scopes, hierarchy: &self.policy().hierarchy, now }
    }

    fn needs_token(&self, rule: &Rule) -> bool {
        rule.asks_who() || self.identity().is_some_and(|desk| desk.is_everywhere())
    }

    async fn who(&self, asking: &Asking<'_>) -> Result<Who, Box<Refusal>> {
        let needs = self.needs(asking.rule, asking.now);
        // Without an identity desk nobody here can judge a token; it is taken off and ignored.
        if let (Some(token), Some(desk)) = (&asking.presented.token, self.identity()) {
            let shown = Shown { token, possessions: &asking.presented.possessions, method: asking.method };
            let caller = desk.judge(&shown, needs).await?;
            return Ok(Who { caller: Some(caller), vouch: None });
        }
        if let Some(desk) = self.identity()
            && let Some(vouch) = self.vouch(asking).await
        {
            let token = Token { scheme: TokenScheme::Bearer, text: vouch.token.as_str().into() };
            let shown = Shown { token: &token, possessions: &[], method: asking.method };
            let caller = desk.judge(&shown, needs).await?;
            // The same text may have come to mean somebody else at an issuer that is asked about every token.
            if caller.principal == vouch.principal {
                return Ok(Who { caller: Some(caller), vouch: Some(vouch) });
            }
        }
        if self.needs_token(asking.rule) {
            Err(self.nobody(asking.rule, asking.now))
        } else {
            Ok(Who::default())
        }
    }

    /// The access token that the credential stands for which was shown in its place, where the rule lets it.
    async fn vouch(&self, asking: &Asking<'_>) -> Option<Arc<Vouch>> {
        let (_, name) = asking.subject.filter(|_| self.may_vouch(asking.rule))?;
        self.till()?.vouch(asking.tender, (&self.service, name, asking.arguments), asking.now).await
    }

    /// Whether credentials for such a call may stand for an access token: only where one makes a difference.
    pub(crate) fn may_vouch(&self, rule: &Rule) -> bool {
        rule.selling.vouch && rule.price.is_some() && (self.needs_token(rule) || self.rules.is_some())
    }

    /// 401 for a request without a token.
    fn nobody(&self, rule: &Rule, now: u64) -> Box<Refusal> {
        match self.identity() {
            Some(desk) => desk.missing_token(self.needs(rule, now)),
            None => Box::new(Refusal::new(Reason::MissingToken, "this call needs an access token")),
        }
    }
}

fn forbidden(text: impl Into<String>) -> Box<Refusal> {
    Box::new(Refusal::new(Reason::ToolForbidden, text))
}
