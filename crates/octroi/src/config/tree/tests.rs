use super::*;

fn line_of(node: &Node, path: &[&str]) -> usize {
    let found = path.iter().fold(node, |node, step| match &node.value {
        Value::Table(table) => &table.get(step).unwrap_or_else(|| panic!("no {step}")).node,
        Value::List(items) => &items[step.parse::<usize>().unwrap()],
        _ => panic!("nothing below {step}"),
    });
    let Origin::Line(line) = found.origin else { panic!("not from the file") };
    line
}

#[test]
fn toml_values_know_their_lines() {
    let text = "listen = \"a\"\n\n[mcp_server.auth.payment]\nprotocol = \"l402\"\npricing = { a = { sats = 1 },\n  b = { sats = 2 } }\n\n[[mcp_server.tools]]\nname = \"a\"\n[[mcp_server.tools]]\nname = \"b\"\nscopes = [\n  \"x\",\n  \"y\",\n]\n";
    let root = parse(text, Format::Toml).unwrap();
    assert_eq!(line_of(&root, &["listen"]), 1);
    assert_eq!(line_of(&root, &["mcp_server"]), 3);
    assert_eq!(line_of(&root, &["mcp_server", "auth", "payment"]), 3);
    assert_eq!(line_of(&root, &["mcp_server", "auth", "payment", "pricing", "b", "sats"]), 6);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "0"]), 8);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "1"]), 10);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "1", "name"]), 11);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "1", "scopes", "1"]), 14);
}

#[test]
fn yaml_values_know_their_lines() {
    let text = "# comment\nlisten: a\nmcp_server:\n  auth:\n    payment:\n      pricing: {a: {sats: 1},\n        b: {sats: 2}}\n  tools:\n    - name: a\n    - name: b\n      scopes: [\n        x,\n        y]\n";
    let root = parse(text, Format::Yaml).unwrap();
    assert_eq!(line_of(&root, &["listen"]), 2);
    assert_eq!(line_of(&root, &["mcp_server"]), 3);
    assert_eq!(line_of(&root, &["mcp_server", "auth", "payment"]), 5);
    assert_eq!(line_of(&root, &["mcp_server", "auth", "payment", "pricing", "b", "sats"]), 7);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "1"]), 10);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "1", "scopes", "1"]), 13);
}

#[test]
fn json_values_know_their_lines() {
    let text = "{\n \"listen\": \"\\u00e9\\/\",\n \"mcp_server\":\n  {\"tools\": [\n    {\"name\": \"a\"},\n    {\"name\":\n \"b\"}\n ]}\n}";
    let root = parse(text, Format::Json).unwrap();
    assert_eq!(line_of(&root, &["listen"]), 2);
    assert_eq!(line_of(&root, &["mcp_server"]), 3);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "0", "name"]), 5);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "1"]), 6);
    assert_eq!(line_of(&root, &["mcp_server", "tools", "1", "name"]), 7);
}

#[test]
fn a_key_given_twice_is_refused_in_every_format() {
    for (format, text, line) in [
        (Format::Toml, "a = 1\nb = 2\na = 3\n", 3),
        (Format::Yaml, "a: 1\nb: 2\na: 3\n", 3),
        (Format::Json, "{\"a\": 1,\n\"b\": 2,\n\"\\u0061\": 3}", 3),
    ] {
        let errors = parse(text, format).unwrap_err();
        assert_eq!(errors[0].line, line, "{format:?}: {errors:?}");
    }
}

#[test]
fn nesting_is_bounded_in_every_format() {
    let deep = 20_000;
    for (format, text) in [
        (Format::Toml, format!("a = {}{}", "[".repeat(deep), "]".repeat(deep))),
        (Format::Toml, format!("{}a = 1", "a.".repeat(deep))),
        (Format::Toml, format!("[{}a]", "a.".repeat(deep))),
        (Format::Toml, format!("a = {}1{}", "{a=".repeat(deep), "}".repeat(deep))),
        (Format::Yaml, format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
        (Format::Yaml, format!("{}1{}", "{a: ".repeat(deep), "}".repeat(deep))),
        (Format::Yaml, "- ".repeat(deep)),
        (Format::Json, format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
        (Format::Json, format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep))),
    ] {
        assert!(parse(&text, format).is_err(), "{format:?} {}", &text[..10]);
    }
}

#[test]
fn yaml_words_for_truth_are_only_true_and_false() {
    let root = parse("a: yes\nb: true\nc: 007\nd: 1_000\n", Format::Yaml).unwrap();
    let Value::Table(table) = root.value else { panic!() };
    let kinds: Vec<_> = table.entries.iter().map(|entry| entry.node.value.kind()).collect();
    assert_eq!(kinds[..2], ["text", "true or false"]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = format!("*a{},", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", previous.trim_end_matches(',')));
    }
    assert!(parse(&text, Format::Yaml).is_err());
}

#[test]
fn a_document_that_is_no_table_is_refused() {
    assert!(parse("[1, 2]", Format::Json).is_err());
    assert!(parse("just text", Format::Yaml).is_err());
    assert!(parse("# nothing\n", Format::Yaml).is_ok());
}
