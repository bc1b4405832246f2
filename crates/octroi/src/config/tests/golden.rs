//! What is wrong is named with its file, line, field and remedy.

use super::*;

fn complaint(result: Result<Config, Mistakes>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

/// The minimal file with one of its lines (from 1) replaced.
fn with_line(number: usize, line: &str) -> String {
    let mut lines: Vec<&str> = MINIMAL_TOML.lines().collect();
    lines[number - 1] = line;
    lines.join("\n")
}

#[track_caller]
fn assert_line(number: usize, line: &str, expected: &str) {
    assert_eq!(complaint(toml(&with_line(number, line))), expected);
}

#[test]
fn a_price_without_an_amount() {
    assert_line(
        25,
        "pricing = { image_describe = {}, data_query = { msats = 1700 } }",
        "octroi.toml:25: mcp_server.auth.payment.pricing.image_describe: price needs `sats` or `msats`\n  \
         fix: write { sats = 3 }",
    );
}

#[test]
fn a_bare_number_for_a_price() {
    assert_line(
        25,
        "pricing = { image_describe = 3 }",
        "octroi.toml:25: mcp_server.auth.payment.pricing.image_describe: price needs `sats` or `msats`\n  \
         fix: write { sats = 3 }",
    );
}

#[test]
fn a_proxy_that_is_none() {
    assert_line(
        2,
        "trusted_proxies = [\"10.0.0.0/40\"]",
        "octroi.toml:2: trusted_proxies[0]: not an address or a network\n  fix: write \"127.0.0.1\" or \"10.0.0.0/8\"",
    );
    assert_line(
        2,
        "trusted_proxies = [\"::/0\"]",
        "octroi.toml:2: trusted_proxies[0]: whoever sends a request would be believed to be a proxy\n  \
         fix: name the proxies' own addresses",
    );
}

#[test]
fn a_misspelt_field() {
    assert_line(
        24,
        "pow_dificulty = 20",
        "octroi.toml:24: mcp_server.auth.payment.pow_dificulty: unknown field\n  \
         fix: did you mean `pow_difficulty`?",
    );
}

#[test]
fn a_teller_needs_a_key_and_customers() {
    assert_line(
        5,
        "stripe = { event = \"octroi_msat\", endpoint = \"http://stripe.example.com\" }",
        "octroi.toml:5: ledger.stripe.key: no `key`\n  fix: add key = \"env:STRIPE_KEY\"\n\
         octroi.toml:5: ledger.stripe.endpoint: plain http could be read and changed on the way\n  fix: write https://\n\
         octroi.toml:5: ledger.stripe: nobody is a customer\n  fix: add customer_claim = \"stripe_customer_id\", or \
         customers = [{ issuer = \"…\", subject = \"…\", customer = \"cus_…\" }]",
    );
}

#[test]
fn bounds_on_kept_answers_that_are_nonsense() {
    assert_line(
        5,
        "answers = { seconds = 0, count_max = 10, bytes_max = 1048576, bytes_each_max = 2000000 }",
        "octroi.toml:5: ledger.answers.seconds: 0 is out of range\n  fix: write 60 to 604800 seconds\n\
         octroi.toml:5: ledger.answers.count_max: 10 is out of range\n  fix: write 1000 to 100000000 answers\n\
         octroi.toml:5: ledger.answers.bytes_each_max: one answer may have more bytes than all of them together\n  \
         fix: write at most 1048576, or raise bytes_max",
    );
    assert_line(
        5,
        "answers = { keep_seconds = 60 }",
        "octroi.toml:5: ledger.answers.keep_seconds: unknown field\n  fix: known here: seconds, count_max, bytes_max, bytes_each_max",
    );
}

#[test]
fn a_field_nothing_like_any() {
    assert_line(
        5,
        "nonsense = 1",
        "octroi.toml:5: ledger.nonsense: unknown field\n  fix: known here: url, timeout_seconds, lease_seconds, queue, answers, \
         reconcile, stripe",
    );
}

#[test]
fn a_number_out_of_range() {
    assert_line(
        24,
        "pow_difficulty = 41",
        "octroi.toml:24: mcp_server.auth.payment.pow_difficulty: 41 is out of range\n  fix: write 0 to 40 bits",
    );
}

#[test]
fn a_number_in_quotes() {
    assert_line(
        22,
        "macaroon_ttl_seconds = \"300\"",
        "octroi.toml:22: mcp_server.auth.payment.macaroon_ttl_seconds: expected a whole number, found text\n  \
         fix: write 10 to 31536000 seconds, without quotes",
    );
}

#[test]
fn an_upstream_that_is_no_url() {
    assert_line(
        12,
        "upstream = \"127.0.0.1:3000/mcp\"",
        "octroi.toml:12: mcp_server.upstream: not a URL: relative URL without a base\n  \
         fix: write it in full, like \"http://127.0.0.1:3000/mcp\"",
    );
}

#[test]
fn a_missing_upstream() {
    assert_line(
        12,
        "",
        "octroi.toml:10: mcp_server.upstream: no `upstream`: where is the MCP server?\n  \
         fix: add upstream = \"http://127.0.0.1:3000/mcp\", or { command = [\"npx\", \"-y\", \"…\"] }, \
         or start with --upstream URL",
    );
}

#[test]
fn a_paid_tool_without_a_price() {
    assert_line(
        28,
        "name = \"image_resize\"",
        "octroi.toml:28: mcp_server.tools[0].name: requires payment, but has no price\n  \
         fix: add image_resize = { sats = 1 } to auth.payment.pricing",
    );
}

#[test]
fn a_tool_listed_twice() {
    assert_line(
        33,
        "name = \"image_describe\"",
        "octroi.toml:33: mcp_server.tools[1].name: \"image_describe\" is listed twice\n  fix: keep one of the two",
    );
}

#[test]
fn providers_and_backends_of_later_releases() {
    assert_line(
        5,
        "url = \"postgres://u:hunter2@h:port/db\"",
        "octroi.toml:5: ledger.url: not a PostgreSQL URL\n  fix: write \"sqlite://octroi.db\", or \
         \"postgres://USER:PASSWORD@HOST/DATABASE\", or env:NAME or file:PATH",
    );
}

#[test]
fn a_provider_nobody_knows() {
    assert_line(
        15,
        "provider = \"auto0\"",
        "octroi.toml:15: mcp_server.auth.identity.provider: \"auto0\" is not known\n  fix: did you mean \"auth0\"?",
    );
}

#[test]
fn a_missing_audience() {
    assert_line(
        17,
        "",
        "octroi.toml:14: mcp_server.auth.identity.audience: no `audience`: Auth0 issues tokens that can be checked \
         only for an API\n  fix: add audience = \"…\", the identifier of the API in Auth0",
    );
}

#[test]
fn a_missing_public_url() {
    let text = "listen = \"0.0.0.0:8402\"\n[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n";
    assert_eq!(
        complaint(toml(text)),
        "octroi.toml:1: public_url: missing, and 0.0.0.0:8402 is no address that callers could use\n  \
         fix: add public_url = \"https://gate.example.com\""
    );
}

#[test]
fn servers_that_share_a_name() {
    let server = |name| format!("[mcp_servers.{name}]\nupstream = \"http://127.0.0.1:9/mcp\"\n");
    assert_eq!(
        complaint(toml(&format!("{}{}", server("a"), server("A")))),
        "octroi.toml:3: mcp_servers.A: another server has this name\n  fix: give each a name of its own"
    );
    assert_eq!(
        complaint(toml(&format!("{}{}", server("a"), server("a")))),
        "octroi.toml:3: a: given twice\n  fix: keep one of the two"
    );
}

#[test]
fn identity_asked_for_and_nowhere_configured() {
    let text = "[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n[[mcp_server.tools]]\nname = \"a\"\n\
        requires_identity = true\n";
    assert_eq!(
        complaint(toml(text)),
        "octroi.toml:4: mcp_server.tools[0].name: requires an identity, but nothing says who callers are\n  \
         fix: add auth.identity with provider and issuer, or write requires_identity = false"
    );
}

#[test]
fn text_that_is_not_of_its_format() {
    let json =
        Config::from_text("{\n \"a\": 1,\n}", Format::Json, &ConfigArgs::new("o.json"), &Stage::default());
    assert_eq!(complaint(json), "o.json:3: not JSON: trailing comma");
    let yaml = Config::from_text("a: \"1\n", Format::Yaml, &ConfigArgs::new("o.yaml"), &Stage::default());
    let yaml = complaint(yaml);
    assert!(yaml.starts_with("o.yaml:1: not YAML: ") && !yaml.contains("at line"), "{yaml}");
    let yaml =
        Config::from_text("a: 1\nb: [1\nc: 2\n", Format::Yaml, &ConfigArgs::new("o.yaml"), &Stage::default());
    let yaml = complaint(yaml);
    assert!(yaml.starts_with("o.yaml:3: not YAML: "), "{yaml}");
    let toml = complaint(toml("a = 1\nb = \nc = [1\n"));
    assert!(toml.starts_with("octroi.toml:2: not TOML: "), "{toml}");
}

#[test]
fn the_same_mistake_has_its_line_in_every_format() {
    for (format, text, line) in [
        (Format::Toml, MINIMAL_TOML.replace("pow_difficulty = 20", "pow_difficulty = 99"), 24),
        (Format::Yaml, MINIMAL_YAML.replace("pow_difficulty: 20", "pow_difficulty: 99"), 20),
        (Format::Json, MINIMAL_JSON.replace("\"pow_difficulty\": 20", "\"pow_difficulty\": 99"), 24),
    ] {
        let mistakes =
            Config::from_text(&text, format, &ConfigArgs::new("octroi"), &Stage::default()).unwrap_err();
        let place = Place::Line { file: "octroi".to_owned(), line };
        assert_eq!(mistakes.0[0].place, place, "{format:?}\n{mistakes}\n{text}");
    }
}

#[test]
fn all_mistakes_are_shown_in_the_order_written() {
    let text =
        with_line(5, "uri = \"sqlite://octroi.db\"").replace("pow_difficulty = 20", "pow_difficulty = -1");
    assert_eq!(
        complaint(toml_with(&text, &["lightning.network=mainnet"])),
        "octroi.toml:5: ledger.uri: unknown field\n  fix: did you mean `url`?\n\
         octroi.toml:24: mcp_server.auth.payment.pow_difficulty: -1 is out of range\n  fix: write 0 to 40 bits\n\
         --set lightning.network: lightning.network: \"mainnet\" is not known\n  \
         fix: write one of bitcoin, testnet, signet, regtest"
    );
}

#[test]
fn overrides_are_named_as_they_were_given() {
    let stage = Stage { variables: [("OCTROI_LEDGER__QUEU", "5")].into(), ..Stage::default() };
    let mut args = ConfigArgs::new("octroi.toml");
    args.set = vec!["ledger.queue=many".to_owned(), "hunter2".to_owned()];
    let shown = complaint(Config::from_text(MINIMAL_TOML, Format::Toml, &args, &stage));
    assert_eq!(
        shown,
        "OCTROI_LEDGER__QUEU: ledger.queu: unknown field\n  fix: did you mean `queue`?\n\
         --set ledger.queue: ledger.queue: expected a whole number, found text\n  \
         fix: write 1 to 1000000 waiting writes, without quotes\n\
         --set …: no `=` after the field\n  fix: write --set section.field=value"
    );
}

#[test]
fn a_flag_for_one_server_where_there_are_several() {
    let text = "[mcp_servers.a]\nupstream = \"http://127.0.0.1:9/mcp\"\n[mcp_servers.b]\nupstream = \"http://127.0.0.1:9/mcp\"\n";
    let mut args = ConfigArgs::new("octroi.toml");
    args.upstream = Some(url::Url::parse("http://127.0.0.1:8/mcp").unwrap());
    assert_eq!(
        complaint(Config::from_text(text, Format::Toml, &args, &Stage::default())),
        "--upstream: the file has several servers\n  fix: use --set mcp_servers.a.upstream=…"
    );
}

#[test]
fn secrets_that_are_not_there_and_secrets_that_are_wrong() {
    let text = "[secrets]\nmaster_key = \"env:NOT_SET\"\n[lightning]\nbackend = \"phoenixd\"\npassword = \"file:/no\"\n\
        [mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n";
    assert_eq!(
        complaint(toml(text)),
        "octroi.toml:2: secrets.master_key: environment variable NOT_SET is not set\n  \
         fix: set NOT_SET before starting octroi\n\
         octroi.toml:5: lightning.password: cannot read /no: no such file\n  \
         fix: name a readable file that holds only the secret"
    );
    let text = text.replace("env:NOT_SET", "hunter2").replace("file:/no", "x");
    let shown = complaint(toml(&text));
    assert!(shown.starts_with("octroi.toml:2: secrets.master_key: not a 32-byte key in hex"), "{shown}");
    assert!(!shown.contains("hunter2"));
}

#[test]
fn a_chain_is_never_repeated_since_it_holds_a_password() {
    let text = "[lightning]\nbackend = \"embedded\"\nchain = \"bitcoind://me:hunter2@host\"\n\
        [mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n";
    let shown = complaint(toml(text));
    assert!(shown.starts_with("octroi.toml:3: lightning.chain: not a source of blocks"), "{shown}");
    assert!(!shown.contains("hunter2"));
}

#[test]
fn weak_identity_settings_are_refused() {
    for (line, problem) in [
        ("issuer = \"http://login.example.com\"", "issuer: plain http could be read"),
        ("algorithms = [\"HS256\"]", "algorithms[0]: HS256 signs with a shared secret"),
        ("algorithms = \"none\"", "algorithms: unsigned tokens"),
        ("algorithms = []", "algorithms: names no algorithm"),
        ("audience = []", "audience: names no audience"),
        ("tenant = \"https://acme.auth0.com/\"", "tenant: not a host name"),
    ] {
        let text = MINIMAL_TOML.replace("obo_enabled = true", line);
        let text = if line.starts_with("audience") {
            text.replace("audience = \"https", "# audience = \"https")
        } else {
            text
        };
        let text = if line.starts_with("tenant") {
            text.replace("tenant = \"your", "# tenant = \"your")
        } else {
            text
        };
        let shown = complaint(toml(&text));
        assert!(shown.starts_with(&format!("octroi.toml:18: mcp_server.auth.identity.{problem}")), "{shown}");
    }
}

/// A server with these lines in `[mcp_server.auth.identity]`, which stands on line 3.
fn identity(lines: &str) -> String {
    format!("[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n[mcp_server.auth.identity]\n{lines}\n")
}

#[test]
fn a_product_without_audiences_needs_its_clients() {
    let cognito = "provider = \"cognito\"\nregion = \"eu-west-1\"\nuser_pool = \"eu-west-1_AbCdEf123\"";
    assert_eq!(
        complaint(toml(&identity(cognito))),
        "octroi.toml:3: mcp_server.auth.identity.client_ids: tokens of provider cognito may name no audience: list the \
         clients (or origins) they must be issued to, or any application's token would open this resource\n  \
         fix: write client_ids = [\"…\"]"
    );
    assert!(toml(&identity(&format!("{cognito}\nclient_ids = \"abc\""))).is_ok());
}

#[test]
fn a_platform_without_a_list_of_its_programs() {
    let actions =
        "issuer = \"https://login.example.com\"\ntrusted_issuers = [\n{ provider = \"github-actions\" },\n]";
    assert_eq!(
        complaint(toml(&identity(actions))),
        "octroi.toml:6: mcp_server.auth.identity.trusted_issuers[0]: any token of this issuer would be accepted\n  \
         fix: add subjects = [\"…\"], or claims = { repository = [\"owner/name\"] }"
    );
    let selective = actions.replace("actions\" }", "actions\", claims = { repository = [\"acme/*\"] } }");
    assert!(toml(&identity(&selective)).is_ok(), "{selective}");
}

#[test]
fn a_preset_s_value_that_cannot_stand_there() {
    let shown = complaint(toml(&identity(
        "issuer = \"https://login.example.com\"\nrole_claims = [\"roles\"]\nscope_claims = [{ claim = \"s\", form = \"csv\" }]",
    )));
    assert!(
        shown.starts_with("octroi.toml:6: mcp_server.auth.identity.scope_claims: unknown variant `csv`"),
        "{shown}"
    );
}

#[test]
fn an_exchange_without_a_client_or_a_target() {
    let obo = "issuer = \"https://login.example.com\"\nobo = {}";
    let shown = complaint(toml(&identity(obo)));
    for said in ["add client_id", "add client_secret", "nothing says what the exchanged tokens are for"] {
        assert!(
            shown.contains(said) && shown.contains("octroi.toml:5: mcp_server.auth.identity.obo"),
            "{shown}"
        );
    }
    let complete = obo.replace("{}", "{ client_id = \"a\", client_secret = \"b\", audience = \"c\" }");
    let config = toml(&identity(&complete)).unwrap();
    assert!(config.servers[0].identity.as_ref().unwrap().exchange.is_some());
    let off = format!("{complete}\nobo_enabled = false");
    assert!(toml(&identity(&off)).unwrap().servers[0].identity.as_ref().unwrap().exchange.is_none());
}

#[test]
fn headers_that_mean_something_else_tell_nothing_of_callers() {
    for (line, says) in [
        ("forward = { headers = { authorization = \"subject\" } }", "authorization has another meaning"),
        ("forward = { headers = { \"mcp-name\" = \"subject\" } }", "mcp-name has another meaning"),
        ("forward = { headers = { \"x y\" = \"subject\" } }", "is no header name"),
        ("forward = { headers = { x-user = \"password\" } }", "\"password\" is not a fact of a caller"),
        ("forward = { jwt_header = \"x-caller\" }", "only used with jwt = true"),
    ] {
        let shown = complaint(toml(&identity(&format!("issuer = \"https://login.example.com\"\n{line}"))));
        assert!(shown.starts_with("octroi.toml:5: ") && shown.contains(says), "{line}: {shown}");
    }
}

#[test]
#[cfg(feature = "cedar")]
fn a_policy_s_mistakes_have_lines_of_their_own_file() {
    let text = "[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n[mcp_server.auth.cedar]\npolicies = \"p.cedar\"\n\
        arguments = { pay = { amount = \"Long\" } }\n";
    let with = |policies| {
        let stage = Stage { files: [(PathBuf::from("p.cedar"), policies)].into(), ..Stage::default() };
        Config::from_text(text, Format::Toml, &ConfigArgs::new("octroi.toml"), &stage)
    };
    let good = "permit (principal, action, resource)\nwhen { context.arguments has amount && context.arguments.amount < 5 };\n";
    assert_eq!(with(good).unwrap().servers[0].cedar.as_ref().unwrap().count, 1);
    let shown = complaint(with(
        "permit (principal, action, resource);\n\nforbid (principal, action, resource)\nwhen { context.arguments.amuont > 1 };\n",
    ));
    assert!(shown.starts_with("p.cedar:4: ") && shown.contains("amuont"), "{shown}");
    assert!(
        complaint(toml(text))
            .starts_with("octroi.toml:4: mcp_server.auth.cedar.policies: cannot read p.cedar")
    );
    let typed = text.replace("\"Long\"", "\"long\"");
    let shown = complaint(toml(&typed));
    assert!(shown.contains("did you mean \"Long\"?"), "{shown}");
}

#[test]
fn a_file_that_cannot_be_read() {
    let shown = complaint(Config::load(&ConfigArgs::new("/nonexistent/octroi.toml")));
    assert!(shown.starts_with("/nonexistent/octroi.toml: cannot read the configuration: "), "{shown}");
}
