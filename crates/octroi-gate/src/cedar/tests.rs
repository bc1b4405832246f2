use std::net::IpAddr;

use octroi_identity::{Caller, Organisation};
use octroi_l402::Msat;

use super::*;
use crate::policy::{Pattern, SubjectKind};

const NOON: u64 = 1_800_014_400;

fn argument(subject: &str, path: &str, kind: ArgumentType) -> ArgumentRule {
    ArgumentRule { subject: Pattern::new(subject), path: path.to_owned(), kind }
}

fn arguments() -> Vec<ArgumentRule> {
    vec![
        argument("transfer", "amount", ArgumentType::Whole),
        argument("transfer", "to.account", ArgumentType::Text),
        argument("image_*", "tags", ArgumentType::Texts),
    ]
}

fn load(text: &str) -> CedarPolicy {
    CedarPolicy::load(text, "mcp", arguments()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn mistakes(text: &str) -> Vec<(Option<usize>, String)> {
    let refused = CedarPolicy::load(text, "mcp", arguments()).err().unwrap_or_default();
    refused.into_iter().map(|mistake| (mistake.line, mistake.problem)).collect()
}

fn alice() -> Caller {
    let mut caller = Caller::new("https://issuer.example", "alice", 1);
    caller.roles = ["teller"].into_iter().collect();
    caller.groups = ["staff"].into_iter().collect();
    caller.scopes = ["pay"].into_iter().collect();
    caller.organisation = Some(Organisation { id: "o1".to_owned(), name: None });
    caller.email = Some("alice@acme.example".to_owned());
    caller
}

fn call<'a>(name: &'a str, caller: Option<&'a Caller>, arguments: &'a str) -> Question<'a> {
    Question {
        kind: SubjectKind::Tool,
        name,
        caller,
        arguments: Some(arguments.as_bytes()),
        price: Some(Msat::new(3000)),
        peer: "10.1.2.3".parse::<IpAddr>().ok(),
        now: NOON,
    }
}

#[track_caller]
fn permits(policy: &str, question: &Question<'_>, expected: bool) {
    let judged = load(policy).judge(question);
    assert_eq!(judged == Judgement::Permitted, expected, "{policy}: {judged:?}");
}

#[test]
fn every_fact_can_be_asked_for() {
    let caller = alice();
    let question = call("transfer", Some(&caller), r#"{"amount":50,"to":{"account":"DE1"}}"#);
    for (condition, expected) in [
        ("principal in Role::\"teller\"", true),
        ("principal in Role::\"admin\"", false),
        ("principal in Group::\"staff\"", true),
        ("principal in Organisation::\"o1\"", true),
        ("resource in Server::\"mcp\"", true),
        ("resource in Server::\"other\"", false),
        ("resource == Tool::\"transfer\"", true),
        ("resource.name like \"trans*\"", true),
        ("principal is Caller && principal.kind == \"user\"", true),
        ("principal is Caller && principal.issuer == \"https://issuer.example\"", true),
        ("principal == Caller::\"https://issuer.example#alice\"", true),
        ("principal is Caller && principal.scopes.contains(\"pay\")", true),
        ("principal is Caller && principal has email && principal.email like \"*@acme.example\"", true),
        ("principal is Caller && principal.email_verified", false),
        ("principal is Caller && principal.delegated", false),
        ("context.price_msat <= 3000", true),
        ("context.price_msat < 3000", false),
        ("context has peer && context.peer.isInRange(ip(\"10.0.0.0/8\"))", true),
        ("context has peer && context.peer.isInRange(ip(\"192.168.0.0/16\"))", false),
        ("context.time >= datetime(\"2027-01-15T11:59:59Z\")", true),
        ("context.time.toTime() < duration(\"9h\")", false),
        ("context.arguments has amount && context.arguments.amount <= 50", true),
        ("context.arguments has amount && context.arguments.amount < 50", false),
        ("context.arguments has \"to.account\" && context.arguments[\"to.account\"] == \"DE1\"", true),
        ("context.arguments has tags", false),
    ] {
        permits(
            &format!("permit (principal, action, resource) when {{ {condition} }};"),
            &question,
            expected,
        );
    }
}

#[test]
fn who_shows_no_token_is_somebody_too() {
    let nobody = call("status", None, "{}");
    permits("permit (principal, action, resource);", &nobody, true);
    permits("permit (principal is Caller, action, resource);", &nobody, false);
    permits("permit (principal is Anonymous, action, resource == Tool::\"status\");", &nobody, true);
}

#[test]
fn resources_and_prompts_have_actions_of_their_own() {
    let only_calls = "permit (principal, action == Action::\"call\", resource);";
    let read = Question { kind: SubjectKind::Resource, ..call("file:///a", None, "{}") };
    permits(only_calls, &read, false);
    permits(
        "permit (principal, action == Action::\"read\", resource == Resource::\"file:///a\");",
        &read,
        true,
    );
    let get = Question { kind: SubjectKind::Prompt, ..call("greet", None, "{}") };
    permits("permit (principal, action == Action::\"get\", resource == Prompt::\"greet\");", &get, true);
}

#[test]
fn a_denial_says_what_its_author_has_to_say() {
    let policy = load(
        "permit (principal, action, resource);\n\
         @advice(\"more than 100 needs a second pair of eyes\")\n\
         forbid (principal, action, resource)\n\
         when { context.arguments has amount && context.arguments.amount > 100 };",
    );
    let caller = alice();
    let said = policy.judge(&call("transfer", Some(&caller), r#"{"amount":101}"#));
    assert_eq!(said, Judgement::Denied(Some("more than 100 needs a second pair of eyes".to_owned())));
    assert_eq!(policy.judge(&call("transfer", Some(&caller), r#"{"amount":100}"#)), Judgement::Permitted);
    assert_eq!(
        load("permit (principal is Anonymous, action, resource);").judge(&call("x", Some(&caller), "{}")),
        Judgement::Denied(None)
    );
}

#[test]
fn what_cannot_be_read_or_evaluated_does_not_pass() {
    let caller = alice();
    let forbid = load(
        "permit (principal, action, resource);\n\
         forbid (principal, action, resource)\n\
         when { context.arguments has amount && context.arguments.amount > 100 };",
    );
    for hidden in [r#"{"amount":"101"}"#, r#"{"amount":101.0}"#, r#"{"AMOUNT":101}"#, r#"{"amount":[101]}"#] {
        let judged = forbid.judge(&call("transfer", Some(&caller), hidden));
        assert!(matches!(judged, Judgement::Unjudgeable(_)), "{hidden}: {judged:?}");
    }
    // An overflow makes Cedar skip the policy, and the forbid would be gone.
    let overflows = load(
        "permit (principal, action, resource);\n\
         forbid (principal, action, resource)\n\
         when { context.arguments has amount && context.arguments.amount + 1 > 100 };",
    );
    let judged = overflows.judge(&call("transfer", Some(&caller), r#"{"amount":9223372036854775807}"#));
    assert_eq!(judged, Judgement::Denied(None));
}

#[test]
fn a_list_shows_what_some_arguments_would_permit() {
    let policy = load(
        "permit (principal in Role::\"teller\", action, resource == Tool::\"transfer\")\n\
         when { context.arguments has amount && context.arguments.amount < 100 };\n\
         permit (principal, action, resource == Tool::\"status\");\n\
         permit (principal in Role::\"admin\", action, resource);\n\
         forbid (principal, action, resource)\n\
         when { context.arguments has tags && context.arguments.tags.contains(\"x\") };\n\
         forbid (principal, action, resource) unless { context.price_msat < 5000 };",
    );
    let caller = alice();
    let shown = |name, caller| policy.might_permit(&call(name, caller, "{}"));
    assert!(shown("transfer", Some(&caller)) && shown("status", Some(&caller)));
    assert!(!shown("delete", Some(&caller)) && !shown("transfer", None) && shown("status", None));
    let dear = Question { price: Some(Msat::new(5000)), ..call("status", None, "{}") };
    assert!(!policy.might_permit(&dear), "what does not look at arguments counts");
    assert_eq!(policy.judge(&call("transfer", Some(&caller), "{}")), Judgement::Denied(None));
}

#[test]
fn mistakes_have_their_line() {
    let good = "permit (principal, action, resource);\n";
    for (text, line, says) in [
        (format!("{good}permit (principal, action, resource"), Some(2), "unexpected"),
        (
            format!("{good}\npermit (principal, action, resource) when {{ context.arguments.amuont > 1 }};"),
            Some(3),
            "amuont",
        ),
        (format!("{good}permit (principal is Caler, action, resource);"), Some(2), "Caler"),
        (format!("{good}permit (principal, action == Action::\"cal\", resource);"), Some(2), "cal"),
        (
            format!("{good}permit (principal, action, resource) when {{ principal.email == \"x\" }};"),
            Some(2),
            "email",
        ),
        (
            format!("{good}permit (principal, action, resource) when {{ context.price_msat == \"x\" }};"),
            Some(2),
            "type",
        ),
        ("permit (principal == ?principal, action, resource);".to_owned(), None, "not linked"),
        (String::new(), None, "no policy"),
    ] {
        let found = mistakes(&text);
        let right = found.iter().any(|(at, problem)| *at == line && problem.contains(says));
        assert!(right, "{text}\n{found:?}");
    }
}

#[test]
fn a_policy_that_can_never_apply_is_a_mistake() {
    let found = mistakes(
        "permit (principal, action, resource);\nforbid (principal, action, resource) when { resource is Role };",
    );
    assert!(found.iter().any(|(line, _)| *line == Some(2)), "{found:?}");
}

#[test]
fn names_of_any_kind_are_only_names() {
    let mut caller = alice();
    caller.subject = "x\"; permit(principal, action, resource); //".to_owned();
    caller.roles = ["\u{0}", "a\"b", "*"].into_iter().collect();
    let policy = load("permit (principal in Role::\"admin\", action, resource);");
    for name in ["", "\"", "Tool::\"status\"", "a\nb", "\u{202e}x"] {
        assert_eq!(policy.judge(&call(name, Some(&caller), "{}")), Judgement::Denied(None), "{name:?}");
    }
}
