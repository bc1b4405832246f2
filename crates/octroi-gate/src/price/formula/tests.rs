use proptest::prelude::*;

use super::*;

fn price(source: &str, arguments: &str) -> Result<i64, Unpriceable> {
    Formula::compile(source).unwrap().evaluate(Some(arguments.as_bytes())).map(Msat::as_i64)
}

#[test]
fn prices_follow_from_arguments() {
    for (source, arguments, msat) in [
        ("100 + size(args.text) * 2", r#"{"text":"héllo"}"#, 110),
        ("args.width * args.height / 1000", r#"{"width":640,"height":480.0}"#, 307),
        ("args.hd ? 5000 : 1000", r#"{"hd":true}"#, 5000),
        ("has(args.hd) && args.hd ? 5000 : 1000", "{}", 1000),
        ("size(args.items) * 250", r#"{"items":[1,{"a":[]},3]}"#, 750),
        ("args.model in ['large', 'huge'] ? 9000 : 3000", r#"{"model":"huge"}"#, 9000),
        ("args.options.steps * 10", r#"{"options":{"steps":30}}"#, 300),
        ("double(args.seconds) * 10.0", r#"{"seconds":1.25}"#, 13),
        ("double(args.seconds) * 10.0", r#"{"seconds":1}"#, 10),
        ("min(args.n, 5) * 100", r#"{"n":7}"#, 500),
        ("max(args.n, 5) * 100", r#"{"n":7}"#, 700),
        ("args.list[0] + int(args['text'])", r#"{"list":[4],"text":"5"}"#, 9),
        ("args.url.startsWith('https') ? 1 : 2", r#"{"url":"https://x"}"#, 1),
        ("0", "{}", 0),
        ("5u", "{}", 5),
    ] {
        assert_eq!(price(source, arguments), Ok(msat), "{source} of {arguments}");
    }
}

#[test]
fn what_makes_no_price_is_the_callers_fault_and_said() {
    let missing = |name: &str| Unpriceable::Missing(name.to_owned());
    for (source, arguments, error) in [
        ("args.n * 10", "{}", missing("n")),
        ("args.a.b * 10", r#"{"a":{}}"#, missing("b")),
        ("args.n * 10", r#"{"n":"7"}"#, Unpriceable::Type),
        ("args.n * 10", r#"{"n":null}"#, Unpriceable::Type),
        ("args.n * 10", r#"{"n":1.5}"#, Unpriceable::Type),
        ("args.n", r#"{"n":"text"}"#, Unpriceable::Type),
        ("args.n * 10", r#"{"n":9223372036854775807}"#, Unpriceable::Arithmetic),
        ("args.n * 10", r#"{"n":-1}"#, Unpriceable::Negative),
        ("-args.n", r#"{"n":1}"#, Unpriceable::Negative),
        ("10 / args.n", r#"{"n":0}"#, Unpriceable::Arithmetic),
        ("10 % args.n", r#"{"n":0}"#, Unpriceable::Arithmetic),
        ("double(args.n) / 0.0", r#"{"n":1}"#, Unpriceable::Arithmetic),
        ("double(args.n) / 0.0", r#"{"n":0}"#, Unpriceable::Arithmetic),
        ("double(args.n) / 0.0", r#"{"n":-1}"#, Unpriceable::Negative),
        ("double(args.n)", r#"{"n":1e300}"#, Unpriceable::Arithmetic),
        ("args.list[5]", r#"{"list":[1]}"#, Unpriceable::Arithmetic),
        ("18446744073709551615u", "{}", Unpriceable::Arithmetic),
    ] {
        assert_eq!(price(source, arguments), Err(error), "{source} of {arguments}");
    }
    let long = format!(r#"{{"{}":1}}"#, "k".repeat(500));
    assert!(price("args.absent", &long).unwrap_err().to_string().len() < 200);
}

#[test]
fn what_could_cost_too_much_is_refused_when_it_is_read() {
    for source in [
        "args.items.map(x, x * 2)",
        "args.items.all(x, x > 0) ? 1 : 2",
        "args.items.exists(x, args.items.exists(y, y == x)) ? 1 : 2",
        "{'a': 1}['a']",
        "now()",
        "string(args.n)",
        "tool",
        "args.?n",
        "args[?'n']",
        "duration('1s')",
        "matches(args.a, 'b*')",
        "dyn(args.a)",
    ] {
        assert!(
            matches!(Formula::compile(source), Err(FormulaError::NotAllowed(_) | FormulaError::Syntax(_))),
            "{source}"
        );
    }
    for source in ["", "1 +", "args.", "((1)", "'", "1 2"] {
        assert!(matches!(Formula::compile(source), Err(FormulaError::Syntax(_))), "{source}");
    }
    assert_eq!(Formula::compile(&" ".repeat(SOURCE_MAX + 1)), Err(FormulaError::TooLong));
    assert_eq!(Formula::compile(&vec!["1"; NODES_MAX].join("+")), Err(FormulaError::TooLarge));
    for (open, close) in [("(", ")"), ("[", "]"), ("size(", ")"), ("{", ""), ("args[", "]"), ("true?1:", "")]
    {
        let deep = format!("{}1{}", open.repeat(140), close.repeat(140));
        assert!(Formula::compile(&deep).is_err(), "{open}");
    }
    // What repeats without a bracket becomes as deep as it is long, and is bounded by its length.
    let long = |times: usize| format!("args.a{}", ".b".repeat(times));
    assert_eq!(Formula::compile(&long(200)), Err(FormulaError::TooLarge));
    assert!(Formula::compile(&long(100)).unwrap().evaluate(None).is_err());
}

#[test]
fn only_what_is_named_is_read() {
    let names = |source: &str| Formula::compile(source).unwrap().names;
    let some = |all: &[&str]| Some(all.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(names("args.a + size(args.b.c)"), some(&["a", "b"]));
    assert_eq!(names("has(args.a) ? 1 : 2"), some(&["a"]));
    assert_eq!(names("size(args)"), None);
    assert_eq!(names("args['a']"), None);
}

proptest! {
    #[test]
    fn any_text_is_judged_without_panic(source in "\\PC{0,80}") {
        crate::invariants::formula(&format!("{source}\n{{\"a\":1,\"b\":\"x\"}}"));
    }

    #[test]
    fn no_price_is_negative(
        source in "(args\\.[ab]|[0-9]{1,19}|[0-9]\\.[0-9])( [-+*/%] (args\\.[ab]|[0-9]{1,19}|[0-9]\\.[0-9])){0,6}",
        a in any::<i64>(),
        b in any::<f64>(),
    ) {
        let Ok(formula) = Formula::compile(&source) else { return Ok(()) };
        let arguments = serde_json::json!({"a": a, "b": b}).to_string();
        if let Ok(price) = formula.evaluate(Some(arguments.as_bytes())) {
            prop_assert!(price >= Msat::ZERO);
        }
    }
}
