//! How the gate says who it is at an issuer, and whom it trusts to vouch for the issuer's host.

use super::*;

fn read(lines: &str) -> Result<Config, Mistakes> {
    toml(&format!(
        "[mcp_server]\nupstream = \"http://127.0.0.1:3000/mcp\"\n[mcp_server.auth.identity]\n\
         issuer = \"https://login.example.com\"\n{lines}"
    ))
}

fn complaint(lines: &str) -> String {
    read(lines).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_gate_proves_who_it_is_by_a_secret_or_a_key() {
    for (lines, says) in [
        ("client_secret = \"b\", client_key = \"c\"", "remove client_secret"),
        ("client_key = \"c\"", "not a private key in PKCS #8"),
        ("client_auth = \"private_key_jwt\"", "no `client_key` to sign with"),
        ("client_secret = \"b\", client_key_id = \"k\"", "only used with client_auth = \"private_key_jwt\""),
        ("client_secret = \"b\", client_key = \"c\", client_auth = \"post\"", "only used with client_auth"),
    ] {
        let shown = complaint(&format!("obo = {{ client_id = \"a\", audience = \"d\", {lines} }}"));
        assert!(shown.contains(says), "{lines}: {shown}");
    }
}

#[test]
fn authorities_vouch_for_the_issuer_and_for_where_tokens_are_exchanged() {
    let pem = "-----BEGIN CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----\\n";
    let obo = "obo = { client_id = \"a\", client_secret = \"b\", audience = \"c\" }";
    let config = read(&format!("ca_certificates = \"{pem}\"\n{obo}")).unwrap();
    let identity = config.servers[0].identity.as_ref().unwrap();
    let exchange = &identity.exchange.as_ref().unwrap().exchange;
    for certificates in [&identity.tokens.ca_certificates, &exchange.ca_certificates] {
        assert_eq!(certificates.as_deref(), Some(pem.replace("\\n", "\n").as_str()));
    }
}

#[test]
fn authorities_that_are_none() {
    let shown = complaint("ca_certificates = \"-----BEGIN CERTIFICATE-----\"");
    assert!(shown.contains("ca_certificates: no certificates in PEM"), "{shown}");
}
