//! What is right, loads.

use std::time::Duration;

use url::Url;

use super::*;

fn load(text: &str, format: Format, args: &ConfigArgs) -> Config {
    Config::from_text(text, format, args, &Stage::default()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn with_upstream(file: &str) -> ConfigArgs {
    ConfigArgs { upstream: Some(Url::parse("http://127.0.0.1:9/mcp").unwrap()), ..ConfigArgs::new(file) }
}

/// Asserts that two configurations say the same, secrets aside.
#[track_caller]
fn assert_same(one: &Config, other: &Config) {
    assert_eq!(format!("{one:#?}"), format!("{other:#?}"));
}

#[test]
fn the_minimal_file_is_the_same_in_three_formats() {
    let toml = load(MINIMAL_TOML, Format::Toml, &ConfigArgs::new("a.toml"));
    assert_same(&toml, &load(MINIMAL_YAML, Format::Yaml, &ConfigArgs::new("a.yaml")));
    assert_same(&toml, &load(MINIMAL_JSON, Format::Json, &ConfigArgs::new("a.json")));
}

#[test]
fn the_minimal_file_means_what_it_says() {
    let config = load(MINIMAL_TOML, Format::Toml, &ConfigArgs::new("a.toml"));
    let [server] = config.servers.as_slice() else { panic!("one server") };
    assert_eq!(server.resource.as_str(), "https://gate.example.com/mcp");
    assert_eq!(server.upstream, Upstream::Http(Url::parse("http://127.0.0.1:3000/mcp").unwrap()));
    assert_eq!(server.default, DefaultPolicy::Deny);
    assert_eq!(server.default_reads, DefaultPolicy::Identified);
    let identity = server.identity.as_ref().unwrap();
    assert_eq!(identity.issuer(), "https://your-tenant.auth0.com/");
    assert_eq!(identity.tokens.audiences, ["https://gate.example.com/mcp"]);
    assert_eq!(identity.preset, octroi_identity::Preset::Auth0);
    let payment = server.payment.as_ref().unwrap();
    assert_eq!(payment.macaroon_ttl, Duration::from_secs(300));
    assert_eq!(payment.pow.unwrap().rest_millibits, 20_000);
    let rules: Vec<_> = server
        .tools
        .iter()
        .map(|rule| (rule.pattern.as_str(), rule.requires_identity, msat(rule), rule.pow))
        .collect();
    assert_eq!(
        rules,
        [
            ("image_describe", true, Some(3000), true),
            ("status", false, None, false),
            ("data_query", false, Some(1700), true)
        ]
    );
    assert_eq!(config.secrets.master_key, MasterKeySource::File("octroi.key".into()));
    let Some(LightningConfig { backend: LightningBackend::Embedded(node), network, .. }) = &config.lightning
    else {
        panic!("an embedded node")
    };
    assert_eq!(*network, Network::Bitcoin);
    assert_eq!(Some(&node.chain), ChainSource::public_default(Network::Bitcoin).as_ref());
    assert_eq!(node.storage_dir, PathBuf::from("octroi-lightning"));
}

#[test]
fn the_published_template_loads_unchanged_with_an_upstream() {
    let mut args = with_upstream("dual-layer-template.json");
    let config = load(TEMPLATE, Format::Json, &args);
    let server = &config.servers[0];
    assert_eq!(server.path, "/mcp");
    assert_eq!(server.identity.as_ref().unwrap().issuer(), "https://your-tenant.auth0.com/");
    assert_eq!(server.identity.as_ref().unwrap().tokens.audiences, ["https://api.mcp-server.internal"]);
    assert_eq!(
        server.payment.as_ref().unwrap().gateway.as_deref(),
        Some("https://payments.mcp-server.internal")
    );
    assert!(config.lightning.is_none());

    args.issuer = Some("http://127.0.0.1:4444".to_owned());
    let config = load(TEMPLATE, Format::Json, &args);
    // Exactly as given: tokens are compared with it, slash or not.
    assert_eq!(config.servers[0].identity.as_ref().unwrap().issuer(), "http://127.0.0.1:4444");
}

#[test]
fn json_may_be_read_as_yaml() {
    let args = with_upstream("a");
    assert_same(&load(TEMPLATE, Format::Yaml, &args), &load(TEMPLATE, Format::Json, &args));
}

#[test]
fn later_sources_win() {
    let mut args = ConfigArgs::new("a.toml");
    let stage = Stage {
        variables: [
            ("OCTROI_LISTEN", "127.0.0.1:1111"),
            ("OCTROI_MCP_SERVER__AUTH__PAYMENT__POW_DIFFICULTY", "7"),
            ("OCTROI_MCP_SERVER__AUTH__PAYMENT__POW_CALLS", "9"),
            ("OCTROI_MCP_SERVER__TOOLS__0__REQUIRES_IDENTITY", "false"),
            ("OCTROI_MCP_SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
            ("OCTROI_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
            // What Kubernetes sets beside a service called octroi.
            ("OCTROI_PORT", "tcp://10.0.0.1:8402"),
            ("OCTROI_SERVICE_HOST", "10.0.0.1"),
            ("OCTROI_LEDGER__URL", ""),
        ]
        .into(),
        ..Stage::default()
    };
    args.set = vec![
        "mcp_server.auth.payment.pow_difficulty=11".to_owned(),
        "mcp_server.auth.payment.pricing.\"data_query\"={ sats = 5 }".to_owned(),
        "mcp_server.tools.2={ name = \"extra\", requires_payment = false }".to_owned(),
    ];
    args.listen = Some("127.0.0.1:2222".parse().unwrap());
    let config = Config::from_text(MINIMAL_TOML, Format::Toml, &args, &stage).unwrap();
    let server = &config.servers[0];
    let pow = server.payment.as_ref().unwrap().pow.unwrap();
    assert_eq!(config.listen.port(), 2222);
    assert_eq!((pow.rest_millibits, pow.calls), (11_000, 9));
    assert_eq!(server.allowed_origins, ["https://a.example", "https://b.example"]);
    let proxies: Vec<String> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8"]);
    let rule = |name: &str| server.tools.iter().find(|rule| rule.pattern == name).unwrap();
    assert!(!rule("image_describe").requires_identity);
    assert_eq!(msat(rule("data_query")), Some(5000));
    assert_eq!(msat(rule("extra")), None);
    assert_eq!(config.ledger.store.path(), Some(Path::new("octroi.db")));
}

#[test]
fn flags_find_the_only_named_server() {
    let text =
        "[mcp_servers.a]\nupstream = { command = [\"x\"] }\ntransport = \"stdio\"\ndefault = \"free\"\n";
    let config = load(text, Format::Toml, &with_upstream("a.toml"));
    assert_eq!(config.servers[0].path, "/a/mcp");
    assert!(matches!(config.servers[0].upstream, Upstream::Http(_)));
}

#[test]
fn secrets_come_from_the_environment_and_from_files_and_stay_hidden() {
    let text = "[secrets]\nmaster_key = \"file:/run/key\"\nmaster_key_number = 2\nprevious_keys = { 1 = \"env:OLD\" }\n\
        [lightning]\nbackend = \"phoenixd\"\npassword = \"hunter2-literal\"\n\
        [mcp_server]\nupstream = { command = [\"x\"], env = { TOKEN = \"env:TOKEN\", EMPTY = \"\" } }\n";
    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let stage = Stage {
        variables: [("OLD", KEY), ("TOKEN", "hunter2-variable")].into(),
        files: [(
            PathBuf::from("/run/key"),
            "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n",
        )]
        .into(),
    };
    let config = Config::from_text(text, Format::Toml, &ConfigArgs::new("a.toml"), &stage).unwrap();
    let MasterKeySource::Given(key) = &config.secrets.master_key else { panic!("given") };
    assert_eq!(key.hex_key().unwrap()[..2], [0xff, 0xee]);
    assert_eq!(config.secrets.previous_keys, [(1, Secret::new(KEY))]);
    let Upstream::Stdio { env, .. } = &config.servers[0].upstream else { panic!("a program") };
    assert_eq!(env["TOKEN"].reveal(), "hunter2-variable");
    assert_eq!(env["EMPTY"].reveal(), "");
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("ffee") && !shown.contains("0011"), "{shown}");
}

#[test]
fn a_port_found_at_start_moves_what_follows_from_it() {
    let text = "listen = \"127.0.0.1:0\"\n[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n\
        auth.identity = { issuer = \"https://login.example.com\" }\n";
    let config = toml(text).unwrap().bound_to("127.0.0.1:4321".parse().unwrap());
    let server = &config.servers[0];
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:4321/");
    assert_eq!(server.resource.as_str(), "http://127.0.0.1:4321/mcp");
    assert_eq!(server.identity.as_ref().unwrap().tokens.audiences, ["http://127.0.0.1:4321/mcp"]);

    let mut given = load(MINIMAL_TOML, Format::Toml, &ConfigArgs::new("a.toml"));
    let before = given.clone();
    given = given.bound_to("127.0.0.1:8402".parse().unwrap());
    assert_same(&given, &before);
}

#[test]
fn prices_reach_the_rules_they_are_meant_for() {
    let config = toml(
        "[mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\ndefault = \"paid\"\n\
        [mcp_server.auth.identity]\nissuer = \"https://login.example.com\"\n\
        [mcp_server.auth.payment]\npricing = { \"*\" = { msats = 5 }, \"image_*\" = { sats = 1 }, image_big = { sats = 9 } }\n\
        [[mcp_server.tools]]\nname = \"image_*\"\nscopes = \"images\"\nrate_limit = \"10/m\"\n\
        [[mcp_server.tools]]\nname = \"image_small\"\n\
        [[mcp_server.tools]]\nname = \"free\"\nrequires_payment = false\n\
        [[mcp_server.tools]]\nname = \"own\"\nprice = { msats = 77 }\n",
    )
    .unwrap();
    let server = &config.servers[0];
    assert_eq!(
        server.default,
        DefaultPolicy::Paid { price: octroi_gate::price::Price::fixed(octroi_l402::Msat::new(5)) }
    );
    let rules: Vec<_> = server
        .tools
        .iter()
        .map(|rule| (rule.pattern.as_str(), msat(rule), rule.requires_identity, rule.rate_limit.is_some()))
        .collect();
    assert_eq!(
        rules,
        [
            ("image_small", Some(1000), false, false),
            ("free", None, false, false),
            ("own", Some(77), false, false),
            // As the pattern that covers it says, at its own price.
            ("image_big", Some(9000), true, true),
            ("image_*", Some(1000), true, true),
        ]
    );
}

#[test]
fn chains_are_read_in_every_spelling() {
    let chain = |written: &str| {
        let text = format!(
            "[lightning]\nbackend = \"embedded\"\nnetwork = \"regtest\"\nchain = \"{written}\"\n\
             [mcp_server]\nupstream = \"http://127.0.0.1:9/mcp\"\n"
        );
        let Some(LightningBackend::Embedded(node)) = toml(&text).unwrap().lightning.map(|it| it.backend)
        else {
            panic!("embedded")
        };
        node.chain
    };
    assert_eq!(
        chain("bitcoind://me:p%40ss@127.0.0.1:18443"),
        ChainSource::Bitcoind {
            host: "127.0.0.1".to_owned(),
            port: 18443,
            user: "me".to_owned(),
            password: Secret::new("p@ss"),
        }
    );
    assert_eq!(
        chain("esplora+https://esplora.example/api"),
        ChainSource::Esplora(Url::parse("https://esplora.example/api").unwrap())
    );
    assert_eq!(
        chain("electrum://e.example:50001"),
        ChainSource::Electrum("tcp://e.example:50001".to_owned())
    );
}

#[test]
fn a_file_on_disk_loads_by_its_extension() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gate.yaml");
    std::fs::write(&path, format!("\u{feff}{MINIMAL_YAML}")).unwrap();
    let config = Config::load(&ConfigArgs::new(&path)).unwrap();
    assert_eq!(config.servers.len(), 1);
}

/// The most that is held for a call.
fn msat(rule: &Rule) -> Option<i64> {
    rule.price.as_ref().map(|price| price.bounds().1.as_i64())
}
