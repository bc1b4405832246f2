//! A call in Cedar's terms.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression as Expression,
};
use octroi_identity::{Caller, NameSet};

use super::arguments::Value;
use crate::policy::{Question, SubjectKind};

/// Most roles, groups and scopes, each, of one caller that policies see. A token of 16 KiB holds fewer.
const MEMBERSHIPS_MAX: usize = 4096;

/// Everything a request to the policies needs.
pub(super) struct Asked {
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) context: Context,
    pub(super) entities: Entities,
}

impl Asked {
    /// `None` where the call cannot be said in Cedar: it is refused then.
    pub(super) fn new(question: &Question<'_>, server: &str, arguments: Vec<(&str, Value)>) -> Option<Self> {
        let (action, kind) = match question.kind {
            SubjectKind::Tool => ("call", "Tool"),
            SubjectKind::Prompt => ("get", "Prompt"),
            SubjectKind::Resource => ("read", "Resource"),
        };
        let (principal, mut entities) = match question.caller {
            Some(caller) => caller_entities(caller)?,
            None => {
                let anonymous = uid("Anonymous", "anonymous")?;
                (anonymous.clone(), vec![Entity::with_uid(anonymous)])
            }
        };
        let resource = uid(kind, question.name)?;
        let server = uid("Server", server)?;
        // A resource's URI is its name too, so that a rule for anything can speak of `resource.name`.
        let uri = (question.kind == SubjectKind::Resource).then_some("uri");
        let names = uri.into_iter().chain(["name"]).map(|name| (name.to_owned(), text(question.name)));
        entities.push(Entity::new(resource.clone(), names.collect(), [server.clone()].into()).ok()?);
        entities.push(Entity::with_uid(server));
        Some(Self {
            principal,
            action: uid("Action", action)?,
            resource,
            context: context(question, arguments)?,
            entities: Entities::from_entities(entities, None).ok()?,
        })
    }
}

fn context(question: &Question<'_>, arguments: Vec<(&str, Value)>) -> Option<Context> {
    let arguments = arguments.into_iter().map(|(path, value)| (path.to_owned(), expression(value)));
    let mut pairs = vec![
        ("arguments".to_owned(), Expression::new_record(arguments).ok()?),
        ("time".to_owned(), Expression::new_datetime(instant(question.now)?)),
        ("price_msat".to_owned(), Expression::new_long(question.price.map_or(0, octroi_l402::Msat::as_i64))),
    ];
    if let Some(peer) = question.peer {
        pairs.push(("peer".to_owned(), Expression::new_ip(peer.to_canonical().to_string())));
    }
    Context::from_pairs(pairs).ok()
}

fn expression(value: Value) -> Expression {
    match value {
        Value::Text(value) => Expression::new_string(value),
        Value::Whole(value) => Expression::new_long(value),
        Value::Truth(value) => Expression::new_bool(value),
        Value::Decimal(value) => Expression::new_decimal(value),
        Value::Texts(values) => Expression::new_set(values.into_iter().map(Expression::new_string)),
        Value::Wholes(values) => Expression::new_set(values.into_iter().map(Expression::new_long)),
    }
}

/// The caller, `Caller::"<issuer>#<subject>"` (an issuer has no `#`: RFC 8414 §2), and what it belongs to.
fn caller_entities(caller: &Caller) -> Option<(EntityUid, Vec<Entity>)> {
    let principal = uid("Caller", &format!("{}#{}", caller.issuer, caller.subject))?;
    let mut entities = Vec::new();
    let mut parents = HashSet::new();
    let memberships = [("Role", &caller.roles), ("Group", &caller.groups)];
    for (kind, names) in memberships {
        for name in names.iter().take(MEMBERSHIPS_MAX) {
            parents.insert(uid(kind, name)?);
        }
    }
    if let Some(organisation) = &caller.organisation {
        parents.insert(uid("Organisation", &organisation.id)?);
    }
    entities.extend(parents.iter().cloned().map(Entity::with_uid));
    entities.push(Entity::new(principal.clone(), attributes(caller), parents).ok()?);
    Some((principal, entities))
}

fn attributes(caller: &Caller) -> HashMap<String, Expression> {
    let names = |names: &NameSet| Expression::new_set(names.iter().take(MEMBERSHIPS_MAX).map(text));
    let actors =
        caller.act.iter().filter_map(|actor| actor.subject.as_deref().or(actor.client_id.as_deref()));
    let mut attributes = vec![
        ("issuer", text(&caller.issuer)),
        ("subject", text(&caller.subject)),
        ("kind", text(caller.kind.name())),
        ("scopes", names(&caller.scopes)),
        ("roles", names(&caller.roles)),
        ("groups", names(&caller.groups)),
        ("email_verified", Expression::new_bool(caller.email_verified == Some(true))),
        ("delegated", Expression::new_bool(!caller.act.is_empty())),
        ("actors", Expression::new_set(actors.map(text))),
    ];
    let optional = [
        ("client", caller.client_id.as_deref()),
        ("organisation", caller.organisation.as_ref().map(|organisation| organisation.id.as_str())),
        ("email", caller.email.as_deref()),
        ("name", caller.names.name.as_deref()),
    ];
    attributes.extend(optional.into_iter().filter_map(|(name, value)| Some((name, text(value?)))));
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(value: &str) -> Expression {
    Expression::new_string(value.to_owned())
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind: EntityTypeName = kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// Unix seconds as Cedar's `datetime` is written: days are counted from the first of March of year 0, so that a leap day
/// ends its year. `None` after the year 9999.
fn instant(seconds: u64) -> Option<String> {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let (day, second) = (seconds / 86_400 + DAYS_TO_1970, seconds % 86_400);
    let of_era = day % DAYS_OF_400_YEARS;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = day / DAYS_OF_400_YEARS * 400 + year_of_era + u64::from(month <= 2);
    let date = of_year - (153 * month_from_march + 2) / 5 + 1;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn an_instant_is_written_as_cedar_reads_it() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(instant(seconds).as_deref(), Some(written));
        }
        assert_eq!(instant(253_402_300_800), None);
    }
}
