use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;
use crate::solver::solve_challenge;

const NOW: u64 = 1_700_000_000;

fn signer() -> Signer {
    Signer::new((1, [7; 32]))
}

fn open(calls: u32) -> Binding {
    Binding { tool: None, principal: None, arguments_digest: None, calls, service: "toll".to_owned() }
}

fn bound() -> Binding {
    Binding {
        tool: Some("data_query".to_owned()),
        principal: Some([2; 32]),
        arguments_digest: Some([3; 32]),
        ..open(5)
    }
}

fn bits(bits: u8) -> Difficulty {
    Difficulty::from_bits(bits).unwrap()
}

fn request() -> Request<'static> {
    Request {
        service: "toll",
        tool: Some("data_query"),
        principal: Some(&[2; 32]),
        arguments_digest: Some(&[3; 32]),
    }
}

fn solved(challenge: &Challenge) -> String {
    let (cancel, progress) = (AtomicBool::new(false), AtomicU64::new(0));
    solve_challenge(challenge, NonZeroUsize::MIN, &cancel, &progress).unwrap().unwrap()
}

#[test]
fn a_solution_is_good_for_what_it_is_bound_to() {
    let challenge = signer().issue(bits(10), bound(), NOW, 60, [9; 16]);
    let nonce = solved(&challenge);
    let solution = signer().verify(&challenge, &nonce, NOW, &request()).unwrap();
    assert_eq!(solution, Solution { id: [9; 16], calls: 5, difficulty: bits(10), expires_at: NOW + 60 });
    let judge = |request: Request<'_>| signer().verify(&challenge, &nonce, NOW, &request).unwrap_err();
    assert_eq!(judge(Request { service: "other", ..request() }), PowError::ForeignService);
    assert_eq!(judge(Request { tool: Some("image_describe"), ..request() }), PowError::WrongTool);
    assert_eq!(judge(Request { tool: None, ..request() }), PowError::WrongTool);
    assert_eq!(judge(Request { principal: Some(&[0; 32]), ..request() }), PowError::WrongPrincipal);
    assert_eq!(judge(Request { principal: None, ..request() }), PowError::WrongPrincipal);
    assert_eq!(judge(Request { arguments_digest: Some(&[0; 32]), ..request() }), PowError::WrongArguments);
    assert_eq!(judge(Request { arguments_digest: None, ..request() }), PowError::WrongArguments);
}

#[test]
fn one_that_is_not_bound_is_good_for_all() {
    let challenge = signer().issue(bits(4), open(1), NOW, 60, [9; 16]);
    let nonce = solved(&challenge);
    assert!(signer().verify(&challenge, &nonce, NOW, &request()).is_ok());
    let nobody = Request { service: "toll", tool: None, principal: None, arguments_digest: None };
    assert!(signer().verify(&challenge, &nonce, NOW, &nobody).is_ok());
}

#[test]
fn each_refusal_has_its_reason() {
    let challenge = signer().issue(bits(16), open(1), NOW, 60, [9; 16]);
    let nonce = solved(&challenge);
    let judge = |nonce: &str, now| signer().verify(&challenge, nonce, now, &request());
    assert!(judge(&nonce, NOW + 59).is_ok());
    assert_eq!(judge(&nonce, NOW + 60), Err(PowError::Expired));
    for malformed in ["", "\n", "\u{e9}", &"1".repeat(crate::MAX_NONCE + 1)] {
        assert_eq!(judge(malformed, NOW), Err(PowError::Malformed));
    }
    // printf %s <salt> no | sha256sum does not begin with four zeros; checked by the assertion itself.
    assert_eq!(judge("no", NOW), Err(PowError::NotSolved));
    let foreign = Signer::new((1, [8; 32])).verify(&challenge, &nonce, NOW, &request());
    assert_eq!(foreign, Err(PowError::Forged));
    let renumbered = Signer::new((2, [7; 32])).verify(&challenge, &nonce, NOW, &request());
    assert_eq!(renumbered, Err(PowError::Forged));
}

#[test]
fn an_older_key_is_honoured_while_it_is_held() {
    let challenge = signer().issue(bits(4), open(1), NOW, 60, [9; 16]);
    let nonce = solved(&challenge);
    let rotated = Signer::new((2, [8; 32])).with_previous((1, [7; 32])).unwrap();
    assert!(rotated.verify(&challenge, &nonce, NOW, &request()).is_ok());
    assert_eq!(rotated.with_previous((2, [9; 32])).unwrap_err(), SignerError::SameNumber(2));
    let full =
        (1..MAX_KEYS as u32).try_fold(Signer::new((0, [0; 32])), |held, n| held.with_previous((n, [0; 32])));
    assert_eq!(full.unwrap().with_previous((99, [0; 32])).unwrap_err(), SignerError::TooMany);
    assert_eq!(format!("{:?}", signer()), "Signer { keys: [1], .. }");
}

#[test]
fn salts_differ_and_cannot_be_foreseen_from_the_id() {
    let salt = |signer: &Signer, id| signer.issue(bits(4), open(1), NOW, 60, id).salt;
    assert_ne!(salt(&signer(), [1; 16]), salt(&signer(), [2; 16]));
    assert_ne!(salt(&signer(), [1; 16]), salt(&Signer::new((1, [8; 32])), [1; 16]));
    assert_eq!(salt(&signer(), [1; 16]).len(), 32);
}

#[test]
fn generated_keys_differ() {
    let challenge = Signer::generate().unwrap().issue(bits(0), open(1), NOW, 60, [9; 16]);
    assert_eq!(Signer::generate().unwrap().verify(&challenge, "1", NOW, &request()), Err(PowError::Forged));
}

/// A challenge of no difficulty, so that only the signature stands between a change and a free call.
fn easy(binding: Binding) -> Challenge {
    signer().issue(bits(0), binding, NOW, 60, [9; 16])
}

fn refused(challenge: &Challenge) -> bool {
    let own = challenge.binding.clone();
    let request = Request {
        service: &own.service,
        tool: own.tool.as_deref(),
        principal: own.principal.as_ref(),
        arguments_digest: own.arguments_digest.as_ref(),
    };
    // At the beginning of time, where nothing has expired yet.
    signer().verify(challenge, "1", 0, &request) == Err(PowError::Forged)
}

#[test]
fn bytes_moved_between_fields_do_not_verify() {
    let original = easy(Binding { tool: Some("query".to_owned()), ..open(5) });
    assert!(!refused(&original));
    let with = |change: fn(&mut Challenge)| {
        let mut moved = original.clone();
        change(&mut moved);
        moved
    };
    let moved = [
        with(|c| (c.binding.service, c.binding.tool) = ("tol".to_owned(), Some("lquery".to_owned()))),
        with(|c| (c.binding.service, c.binding.tool) = ("tollquery".to_owned(), Some(String::new()))),
        with(|c| (c.binding.service, c.binding.tool) = ("tollquery".to_owned(), None)),
        with(|c| c.salt.push('0')),
        with(|c| _ = c.salt.pop()),
        with(|c| {
            // The salt's last character becomes the difficulty's first byte.
            let last = c.salt.pop().map_or(0, |last| last as u32);
            c.difficulty = Difficulty::from_parts(last, *c.difficulty.target());
        }),
        with(|c| {
            c.binding.principal = Some([0; 32]);
            c.binding.tool = None;
        }),
        with(|c| {
            c.binding.arguments_digest = Some([2; 32]);
            c.binding.principal = None;
        }),
        with(|c| c.expires_at += 1),
        with(|c| c.binding.calls = 6),
        with(|c| c.key = 0),
        with(|c| c.id[0] ^= 1),
        with(|c| c.difficulty = Difficulty::from_parts(1000, *c.difficulty.target())),
        with(|c| c.difficulty = Difficulty::from_parts(0, [0xfe; 32])),
        with(|c| c.mac[31] ^= 0x80),
    ];
    for challenge in moved {
        assert!(refused(&challenge), "{challenge:?}");
    }
    // A principal cannot pass for a digest: the same 32 bytes in the neighbouring field.
    let mut swapped = easy(Binding { principal: Some([2; 32]), ..open(5) });
    std::mem::swap(&mut swapped.binding.principal, &mut swapped.binding.arguments_digest);
    assert!(refused(&swapped));
}

fn any_binding() -> impl Strategy<Value = Binding> {
    let digest = || prop::option::of(prop::array::uniform32(0_u8..3));
    (prop::option::of("[ab]{0,3}"), digest(), digest(), 0_u32..3, "[ab]{0,3}").prop_map(
        |(tool, principal, arguments_digest, calls, service)| Binding {
            tool,
            principal,
            arguments_digest,
            calls,
            service,
        },
    )
}

proptest! {
    #[test]
    fn no_binding_passes_for_another(a in any_binding(), b in any_binding()) {
        let mut challenge = easy(a.clone());
        challenge.binding = b.clone();
        prop_assert_eq!(refused(&challenge), a != b);
    }

    /// Through the text that clients hold: any one bit of the JSON or of the token, and it is no longer the challenge that
    /// was issued.
    #[test]
    fn no_changed_bit_is_verified(at in any::<prop::sample::Index>(), bit in 0_u8..7) {
        let challenge = easy(bound());
        let mut text = URL_SAFE_NO_PAD.decode(challenge.to_token()).unwrap();
        let at = at.index(text.len());
        text[at] ^= 1 << bit;
        if let Ok(changed) = serde_json::from_slice::<Challenge>(&text) {
            // Hexadecimal in another case is the same number.
            prop_assert!(refused(&changed) || changed == challenge);
        }
    }

    #[test]
    fn every_json_survives(binding in any_binding(), millibits in 0_u32..=64_000, id in any::<[u8; 16]>(), now in any::<u64>()) {
        let difficulty = Difficulty::from_bits(f64::from(millibits) / 1000.0).unwrap();
        let challenge = signer().issue(difficulty, binding, now, 60, id);
        let text = serde_json::to_string(&challenge).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Challenge>(&text).unwrap(), &challenge);
        prop_assert_eq!(&Challenge::from_token(&challenge.to_token()).unwrap(), &challenge);
    }

    #[test]
    fn no_kind_passes_for_another(nonce in "[0-9a-f.]{1,40}", kinds in (0_usize..3, 0_usize..3)) {
        let (kind, other) = (Algorithm::ALL[kinds.0], Algorithm::ALL[kinds.1]);
        let mut challenge = signer().issue_kind((kind, bits(0)), open(1), NOW, 60, [9; 16]);
        challenge.algorithm = other;
        let verdict = signer().verify(&challenge, &nonce, NOW, &request());
        prop_assert_eq!(verdict == Err(PowError::Forged), kind != other);
    }

    #[test]
    fn sixteen_parts_are_solved_for_any_difficulty(id in any::<[u8; 16]>(), millibits in 0_u32..12_000) {
        let difficulty = Difficulty::from_bits(f64::from(millibits) / 1000.0).unwrap();
        let kind = Algorithm::Sha256x16;
        let challenge = signer().issue_kind((kind, difficulty), open(1), NOW, 60, id);
        let text = serde_json::to_string(&challenge).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Challenge>(&text).unwrap(), &challenge);
        prop_assert!((challenge.bits() - difficulty.bits().max(4.0)).abs() < 0.01);
        let nonce = solved(&challenge);
        prop_assert!(nonce.len() <= crate::MAX_NONCE);
        prop_assert!(signer().verify(&challenge, &nonce, NOW, &request()).is_ok());
        // A part in another's place is no solution, unless by chance.
        let mut parts: Vec<&str> = nonce.split('.').collect();
        parts.rotate_left(1);
        if difficulty.bits() > 8.0 {
            prop_assert!(signer().verify(&challenge, &parts.join("."), NOW, &request()).is_err());
        }
    }

    #[test]
    fn what_the_solver_finds_the_signer_takes(id in any::<[u8; 16]>(), millibits in 0_u32..12_000) {
        let difficulty = Difficulty::from_bits(f64::from(millibits) / 1000.0).unwrap();
        let challenge = signer().issue(difficulty, open(1), NOW, 60, id);
        prop_assert!(signer().verify(&challenge, &solved(&challenge), NOW, &request()).is_ok());
    }
}

/// Sixteen small searches vary less than a large one: that is what the kind is for.
#[test]
fn sixteen_parts_take_more_even_time() {
    let spread = |kind: Algorithm| {
        let tries: Vec<f64> = (0..64_u8)
            .map(|n| {
                let challenge = signer().issue_kind((kind, bits(12)), open(1), NOW, 60, [n; 16]);
                // With a stride of one hash the count would be exact; the nonces say it too.
                let nonce = solved(&challenge);
                nonce.split('.').map(|part| u64::from_str_radix(part, 16).unwrap() as f64 + 1.0).sum()
            })
            .collect();
        let mean = tries.iter().sum::<f64>() / 64.0;
        let variance = tries.iter().map(|tries| (tries - mean).powi(2)).sum::<f64>() / 64.0;
        (mean, variance.sqrt() / mean)
    };
    let ((plain_mean, plain), (even_mean, even)) = (spread(Algorithm::Sha256), spread(Algorithm::Sha256x16));
    assert!(even < 0.5 * plain, "{even} {plain}");
    assert!((0.5..2.0).contains(&(plain_mean / even_mean)), "as much work: {plain_mean} {even_mean}");
}

#[cfg(feature = "equix")]
#[test]
fn equix_is_solved_and_judged() {
    let challenge = signer().issue_kind((Algorithm::Equix, bits(17)), open(1), NOW, 60, [9; 16]);
    let nonce = solved(&challenge);
    assert!(signer().verify(&challenge, &nonce, NOW, &request()).is_ok());
    let judge = |nonce: &str| signer().verify(&challenge, nonce, NOW, &request());
    // Each of these is tried below the open target too, so that Equi-X itself must refuse it.
    let easy = signer().issue_kind((Algorithm::Equix, bits(0)), open(1), NOW, 60, [9; 16]);
    let (counter, solution) = nonce.split_once('.').unwrap();
    for wrong in [
        solution.to_owned(),
        format!("{counter}1.{solution}"),
        format!("{counter}.{}", &solution[1..]),
        format!("{counter}.{}", "00".repeat(16)),
        format!("{counter}.{solution}00"),
        format!("{counter}.{}", solution.to_uppercase()),
    ] {
        assert!(judge(&wrong).is_err(), "{wrong}");
        let verdict = signer().verify(&easy, &wrong, NOW, &request());
        assert_eq!(verdict, Err(PowError::NotSolved), "{wrong}");
    }
}
