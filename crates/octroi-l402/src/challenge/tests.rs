use proptest::prelude::*;

use super::*;

const INVOICE: &str = "lnbcrt30n1pqqqqqqpp5qqqsyqcyq5rqwzqf";

fn offer(scheme: Scheme, token: &str) -> Offer {
    Offer { scheme, token: token.to_owned(), invoice: INVOICE.to_owned() }
}

/// Every client that was tested reads this very form; most of them read no other.
#[test]
fn the_header_to_the_byte() {
    let challenge = Challenge { macaroon: &[2, 0xfb, 0xff, 0xfe], invoice: INVOICE };
    assert_eq!(
        challenge.header_value(),
        r#"L402 macaroon="Avv//g==", invoice="lnbcrt30n1pqqqqqqpp5qqqsyqcyq5rqwzqf", version="0", token="Avv//g==""#
    );
}

#[test]
fn an_invoice_cannot_write_into_the_header() {
    let challenge = Challenge { macaroon: &[2], invoice: "lnbc1\", token=\"x\r\nSet-Cookie: a" };
    let value = challenge.header_value();
    assert!(!value.contains(['\r', '\n']));
    assert_eq!(value.matches('"').count(), 8);
}

#[test]
fn what_servers_send_is_read() {
    let cases = [
        format!(r#"L402 macaroon="bWFj", invoice="{INVOICE}""#),
        format!(r#"L402 version="0", token="bWFj", invoice="{INVOICE}""#),
        format!(r#"L402 macaroon="bWFj", invoice="{INVOICE}", version="0", token="bWFj""#),
        format!(r#"l402 invoice="{INVOICE}",macaroon="bWFj""#),
        format!("L402 macaroon=bWFj,invoice={INVOICE}"),
        format!("L402  macaroon = 'bWFj' ,\tinvoice = '{INVOICE}'"),
        format!(
            r#"Bearer realm="a, L402 macaroon=\"x\"", error="e", L402 macaroon="bWFj", invoice="{INVOICE}""#
        ),
        format!(
            r#"Payment id="1", method="lightning", invoice="no", request="e30=", L402 macaroon="bWFj", invoice="{INVOICE}""#
        ),
        format!("Negotiate YWJj==, L402 token=\"bWFj\", invoice=\"{INVOICE}\", Bearer"),
        format!("Bearer realm=\"x\"\r\nL402 macaroon=\"bWFj\", invoice=\"{INVOICE}\"\nPayment id=\"1\""),
        format!(r#"L402 macaroon="bWFj", L402 macaroon="bWFj", invoice="{INVOICE}""#),
    ];
    for header in cases {
        assert_eq!(parse(&header), Ok(offer(Scheme::L402, "bWFj")), "{header}");
    }
    let lsat =
        format!(r#"LSAT macaroon="bWFj", invoice="{INVOICE}", L402 macaroon="b2s=", invoice="{INVOICE}""#);
    assert_eq!(parse(&lsat), Ok(offer(Scheme::Lsat, "bWFj")));
    let padded = format!("Lsat macaroon=bWE=, invoice={INVOICE}");
    assert_eq!(parse(&padded), Ok(offer(Scheme::Lsat, "bWE=")));
}

#[test]
fn what_is_no_challenge_is_refused() {
    for header in ["", "Bearer", "Bearer realm=\"L402\"", "macaroon=\"a\", invoice=\"b\"", ",,,", "L402x a=b"]
    {
        assert_eq!(parse(header), Err(ChallengeError::None), "{header}");
    }
    assert_eq!(parse("L402 macaroon=\"bWFj\""), Err(ChallengeError::Lacks("invoice")));
    assert_eq!(parse("L402 invoice=\"ln\""), Err(ChallengeError::Lacks("token")));
    assert_eq!(parse("L402 macaroon=\"\", invoice=\"ln\""), Err(ChallengeError::Lacks("token")));
    assert_eq!(parse("L402 macaroon=a, Bearer invoice=ln"), Err(ChallengeError::Lacks("invoice")));
    assert_eq!(parse(&"x".repeat(MAX_HEADER + 1)), Err(ChallengeError::TooLong));
}

#[test]
fn an_offer_is_answered_as_it_was_made() {
    let offer = offer(Scheme::Lsat, "-_8");
    let preimage = Preimage::from_bytes([0xaa; 32]);
    assert_eq!(offer.authorization(&preimage), format!("LSAT -_8:{}", "aa".repeat(32)));
    assert_eq!(offer.credential(preimage).unwrap().macaroon(), [0xfb, 0xff]);
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(header in "\\PC{0,200}", near in "(L402|LSAT|Bearer|macaroon|token|invoice|[=,\"' \\\\a-z]){0,40}") {
        crate::invariants::credential(&header);
        crate::invariants::credential(&near);
    }

    #[test]
    fn what_a_gate_writes_a_client_reads(macaroon in prop::collection::vec(any::<u8>(), 1..600), invoice in "ln[a-z0-9]{1,400}") {
        let challenge = Challenge { macaroon: &macaroon, invoice: &invoice };
        let header = format!("Bearer realm=\"r\", {}, Payment id=\"1\"", challenge.header_value());
        let offer = parse(&header).unwrap();
        prop_assert_eq!(offer.macaroon().unwrap(), macaroon);
        prop_assert_eq!(offer.invoice, invoice);
    }
}
