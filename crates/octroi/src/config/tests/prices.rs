//! Prices that are more than a number: formulas, meters, bundles, free calls.

use octroi_gate::price::{Held, Metered};
use octroi_l402::Msat;

use super::*;

fn priced(price: &str) -> Result<Rule, String> {
    let set = format!("mcp_server.auth.payment.pricing.\"data_query\"={price}");
    let config = toml_with(MINIMAL_TOML, &[&set]).map_err(|mistakes| mistakes.to_string())?;
    Ok(config.servers[0].tools.iter().find(|rule| rule.pattern == "data_query").unwrap().clone())
}

#[test]
fn a_formula_has_bounds() {
    let price = priced("{ formula = \"100 + size(args.query) * 2\", max_sats = 5, min_msats = 150 }")
        .unwrap()
        .price
        .unwrap();
    assert_eq!(price.bounds(), (Msat::new(150), Msat::new(5000)));
    assert_eq!(price.for_call(Some(br#"{"query":"0123456789012345678901234567890"}"#)), Ok(Msat::new(162)));
}

#[test]
fn a_meter_holds_its_highest_price() {
    let price = priced(
        "{ max_sats = 50, meter = { counts = \"/structuredContent/usage/tokens\", msats = 1500, per = 1000, base_msats = 100 } }",
    );
    let price = price.unwrap().price.unwrap();
    assert_eq!(price.held, Held::Fixed(Msat::new(50_000)));
    let meter = price.meter.unwrap();
    assert_eq!((meter.base, meter.rate, meter.per), (Msat::new(100), Msat::new(1500), 1000));
    assert!(
        matches!(&meter.counts, Metered::Said(pointer) if pointer.as_str() == "/structuredContent/usage/tokens")
    );
    let price =
        priced("{ formula = \"args.limit * 10\", max_sats = 50, meter = { counts = \"bytes\", msats = 1 } }");
    let price = price.unwrap().price.unwrap();
    assert!(matches!(price.held, Held::Formula { .. }) && price.meter.unwrap().counts == Metered::Bytes);
}

#[test]
fn bundles_are_the_largest_first() {
    let price =
        priced("{ sats = 3, bundles = [{ calls = 10, pay = 9 }, { calls = 100, pay = 80 }] }").unwrap();
    let bundles: Vec<_> =
        price.price.unwrap().bundles.iter().map(|bundle| (bundle.calls, bundle.pay)).collect();
    assert_eq!(bundles, [(100, 80), (10, 9)]);
}

#[test]
fn free_calls_a_day_belong_to_a_rule_with_a_price() {
    let rule = "mcp_server.tools.2={ name = \"data_query\", free_per_day = 20 }";
    let config = toml_with(MINIMAL_TOML, &[rule]).unwrap();
    let rule = config.servers[0].tools.iter().find(|rule| rule.pattern == "data_query").unwrap();
    assert_eq!((rule.free_per_day, rule.price.is_some()), (20, true));
    let free = "mcp_server.tools.2={ name = \"status2\", free_per_day = 20 }";
    let complaint = toml_with(MINIMAL_TOML, &[free]).unwrap_err().to_string();
    assert!(complaint.contains("every call is free"), "{complaint}");
}

#[test]
fn budgets_are_per_minute_hour_and_day() {
    let payment = |set: &[&str]| {
        let config = toml_with(MINIMAL_TOML, set).map_err(|mistakes| mistakes.to_string())?;
        Ok::<_, String>(config.servers[0].payment.clone().unwrap())
    };
    let plain = payment(&[]).unwrap();
    assert_eq!((plain.budgets, plain.receipts), (octroi_gate::Budgets::default(), true));
    let set = [
        "mcp_server.auth.payment.receipts=false",
        "mcp_server.auth.payment.budgets={ per_caller = { day_sats = 1000, minute_msats = 500 }, per_credential = { hour_sats = 50 } }",
    ];
    let payment_with = payment(&set).unwrap();
    let (caller, credential) = (payment_with.budgets.per_caller, payment_with.budgets.per_credential);
    assert_eq!(
        (caller.minute, caller.hour, caller.day),
        (Some(Msat::new(500)), None, Some(Msat::new(1_000_000)))
    );
    assert_eq!(credential.hour, Some(Msat::new(50_000)));
    assert!(!payment_with.receipts);
    let wrong = payment(&["mcp_server.auth.payment.budgets={ per_callers = { day_sats = 1 } }"]).unwrap_err();
    assert!(wrong.contains("did you mean `per_caller`?"), "{wrong}");
}

#[test]
fn what_is_no_price_is_said_with_its_remedy() {
    for (price, problem) in [
        ("{ formula = \"100 +\", max_sats = 1 }", "no formula: "),
        ("{ formula = \"tool\", max_sats = 1 }", "no formula: `tool`: the arguments are args.NAME"),
        ("{ formula = \"args.a.map(x, x)\", max_sats = 1 }", "no formula: a loop cannot be used in a price"),
        ("{ formula = \"args.n\" }", "a formula without a highest price"),
        ("{ formula = \"args.n\", max_sats = 1, sats = 1 }", "a formula and a fixed price"),
        ("{ formula = \"args.n\", max_sats = 1, min_sats = 2 }", "the lowest price is above the highest"),
        ("{ sats = 1, min_sats = 1 }", "a lowest price without a formula"),
        ("{ sats = 1, max_sats = 2 }", "a fixed price and a highest price"),
        ("{ max_sats = 2 }", "a highest price alone"),
        ("{ sats = 2, meter = { counts = \"bytes\", msats = 1 } }", "a meter without a highest price"),
        ("{ max_sats = 2, meter = { counts = \"bytes\" } }", "a meter without a rate"),
        ("{ max_sats = 2, meter = { msats = 1 } }", "a meter that counts nothing"),
        ("{ max_sats = 2, meter = { counts = \"tokens\", msats = 1 } }", "a JSON pointer starts with /"),
        ("{ max_sats = 2, meter = { counts = \"bytes\", msats = 1, per = 0 } }", "0 is out of range"),
        (
            "{ max_sats = 2, meter = { counts = \"bytes\", msats = 1, base_sats = 3 } }",
            "the meter's base is above",
        ),
        ("{ sats = 2, bundles = [{ calls = 10, pay = 10 }] }", "a bundle is at least two calls"),
        ("{ sats = 2, bundles = [{ calls = 10 }] }", "a bundle says how many calls"),
        ("{ msats = 1, bundles = [{ calls = 10, pay = 9 }] }", "would cost less than 1 msat"),
        ("{ sats = 2, bundle = [] }", "did you mean `bundles`?"),
        ("{ sats = 100000001 }", "100000001 is out of range"),
    ] {
        let complaint = priced(price).unwrap_err();
        assert!(complaint.contains(problem) && complaint.contains("fix: "), "{price}: {complaint}");
    }
}

#[test]
fn what_is_sold_is_said_by_the_rule_or_by_the_payment_section() {
    use octroi_gate::policy::Selling;
    let config = toml_with(MINIMAL_TOML, &[]).unwrap();
    let sold = |config: &Config, name: &str| {
        config.servers[0].tools.iter().find(|rule| rule.pattern == name).unwrap().selling
    };
    assert_eq!(sold(&config, "data_query"), Selling::DEFAULT);
    let all = [
        "mcp_server.auth.payment.single_use=true",
        "mcp_server.auth.payment.bind_arguments=true",
        "mcp_server.auth.payment.vouch=false",
        "mcp_server.auth.payment.credit=false",
        "mcp_server.tools.2={ name = \"data_query\", vouch = true, bind_arguments = false }",
    ];
    let config = toml_with(MINIMAL_TOML, &all).unwrap();
    let said = Selling { single_use: true, bind_arguments: true, vouch: false, credit: false };
    assert_eq!(sold(&config, "image_describe"), said);
    assert_eq!(sold(&config, "data_query"), Selling { bind_arguments: false, vouch: true, ..said });
    let complaint = toml_with(MINIMAL_TOML, &["mcp_server.tools.0.vouch=\"yes\""]).unwrap_err().to_string();
    assert!(complaint.contains("mcp_server.tools[0].vouch: expected true or false"), "{complaint}");
}

#[test]
fn failing_to_pay_is_borne_as_the_operator_says() {
    let borne = |set: &[&str]| {
        let config = toml_with(MINIMAL_TOML, set).map_err(|mistakes| mistakes.to_string())?;
        let bounds = config.servers[0].payment.as_ref().unwrap().failed_payments;
        Ok::<_, String>((bounds.free, bounds.recover_seconds))
    };
    assert_eq!(borne(&[]), Ok((60, 2)));
    let set = "mcp_server.auth.payment.failed_payments={ free = 10, recover_seconds = 20 }";
    assert_eq!(borne(&[set]), Ok((10, 20)));
    let complaint = borne(&["mcp_server.auth.payment.failed_payments.recover_seconds=21"]).unwrap_err();
    assert!(complaint.contains("21 is out of range") && complaint.contains("1 to 20 seconds"), "{complaint}");
}

#[test]
fn credentials_stand_where_the_operator_lets_them() {
    use octroi_gate::credentials::Carriers;
    let carriers = |set: &[&str]| toml_with(MINIMAL_TOML, set).map(|config| config.servers[0].carriers);
    assert_eq!(carriers(&[]).unwrap(), Carriers::ALL);
    assert_eq!(carriers(&["mcp_server.auth.carriers=[]"]).unwrap(), Carriers::NONE);
    let some = carriers(&["mcp_server.auth.carriers=[\"composite\", \"meta\"]"]).unwrap();
    assert_eq!(some, Carriers { composite: true, meta: true, ..Carriers::NONE });
    let complaint = carriers(&["mcp_server.auth.carriers=[\"cookie\"]"]).unwrap_err().to_string();
    assert_eq!(
        complaint.lines().nth(1).map(str::trim),
        Some(
            "fix: known here: \"payment-authorization\", \"macaroon\", \"composite\", \"meta\"; `Authorization` is always read"
        ),
        "{complaint}"
    );
}
