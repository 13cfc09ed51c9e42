//! Digest against the shared known answers, through the public interface of a server.

use std::error::Error;

use sansip::security::Secret;
use sansip::security::digest::{Algorithm, Authorization, Info, Qop, Quality};
use sansip::wire::header::{self, Header};
use sansip_testkit::vectors::{self, from_hex, needed, text};
use serde_json::Value;

/// The answer that a vector describes, not signed yet.
fn authorization(inputs: &Value, user: &str) -> Authorization {
    let algorithm = Algorithm::from_token(needed(inputs, "algorithm")).expect("a known algorithm");
    let quality = text(inputs, "qop")
        .filter(|qop| !qop.is_empty())
        .map(|qop| Quality {
            qop: Qop::from_token(qop).expect("a known qop"),
            count: u32::from_str_radix(needed(inputs, "nc"), 16).expect("a count"),
            cnonce: needed(inputs, "cnonce").into(),
        });
    Authorization {
        user: user.into(),
        user_hash: false,
        realm: needed(inputs, "realm").into(),
        nonce: needed(inputs, "nonce").into(),
        uri: needed(inputs, "uri").into(),
        algorithm,
        opaque: text(inputs, "opaque").map(Into::into),
        quality,
        response: String::new(),
    }
}

/// Signs, writes, reads and verifies; gives the proof.
fn prove(inputs: &Value, user: &str, body: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut answer = authorization(inputs, user);
    let ha1 = answer
        .algorithm
        .ha1(user, &answer.realm, &Secret::new(needed(inputs, "password")));
    if let Some(expected) = text(inputs, "ha1") {
        assert_eq!(ha1.expose(), expected);
    }
    let method = needed(inputs, "method");
    answer.sign(&ha1, method, body);
    let value = header::to_string(&header::Authorization(answer.to_header()));
    let read = Authorization::read(&header::Authorization::parse(&value)?.0)?;
    assert_eq!(read, answer);
    assert!(read.is_of(user) && read.verify(&ha1, method, body), "{value}");
    assert!(!read.verify(&ha1, "OTHER", body), "{value}");
    Ok(answer.response)
}

// rules: A1, A8
#[test]
fn digest_known_answers() -> Result<(), Box<dyn Error>> {
    let Some(file) = vectors::json("digest.json") else {
        return Ok(());
    };
    let all = file["vectors"].as_array().expect("a list of vectors");
    for vector in all {
        let body = text(vector, "body").unwrap_or_default();
        let response = prove(vector, needed(vector, "user"), body.as_bytes())?;
        assert_eq!(response, needed(vector, "response"), "{vector}");
    }
    assert!(all.len() >= 12, "{} vectors", all.len());
    Ok(())
}

// rules: A1, A8
#[test]
fn digest_entries_of_the_authentication_answers() -> Result<(), Box<dyn Error>> {
    let Some(file) = vectors::json("auth.json") else {
        return Ok(());
    };
    let mut seen = 0;
    for vector in file["vectors"].as_array().expect("a list of vectors") {
        if text(vector, "kind") != Some("digest") {
            continue;
        }
        let (inputs, expected) = (&vector["inputs"], &vector["expected"]);
        let user = needed(inputs, "username");
        let body = from_hex(text(inputs, "body").unwrap_or_default());
        assert_eq!(
            prove(inputs, user, &body)?,
            needed(expected, "response"),
            "{vector}"
        );
        if let Some(hash) = text(expected, "userhash") {
            let mut answer = authorization(inputs, hash);
            assert_eq!(answer.algorithm.user_hash(user, &answer.realm), hash);
            answer.user_hash = true;
            assert!(answer.is_of(user) && !answer.is_of("somebody else"));
        }
        seen += 1;
    }
    assert!(seen >= 10, "{seen} vectors");
    Ok(())
}

// RFC 7616 prints one example with a shortened SHA-512; its erratum 4897 says so.
// rules: A1
#[test]
fn the_misprinted_example_is_not_what_is_computed() -> Result<(), Box<dyn Error>> {
    let Some(file) = vectors::json("auth.json") else {
        return Ok(());
    };
    let vectors = file["vectors"].as_array().expect("a list of vectors");
    let misprint = vectors
        .iter()
        .find(|vector| text(vector, "kind") == Some("digest-known-bad"));
    let misprint = misprint.expect("the misprinted example");
    let mut inputs = misprint["inputs"].clone();
    inputs["algorithm"] = "SHA-512-256".into();
    let user = needed(&misprint["inputs"], "username");
    assert_ne!(
        prove(&inputs, user, b"")?,
        needed(&misprint["expected"], "response")
    );
    assert_ne!(
        Algorithm::Sha512_256.user_hash(user, needed(&inputs, "realm")),
        needed(&misprint["expected"], "userhash")
    );
    Ok(())
}

// RFC 7616 section 3.5: the proof of a server, over the wire and back.
// rules: A8
#[test]
fn a_server_proves_itself_by_every_algorithm_and_quality() -> Result<(), Box<dyn Error>> {
    for algorithm in Algorithm::ALL {
        for qop in [Qop::Auth, Qop::AuthInt] {
            let answer = Authorization {
                user: "bob".into(),
                user_hash: false,
                realm: "biloxi.example.com".into(),
                nonce: "ea9c8e88df84f1cec4341ae6cbe5a359".into(),
                uri: "sips:biloxi.example.com".into(),
                algorithm,
                opaque: None,
                quality: Some(Quality {
                    qop,
                    count: 7,
                    cnonce: "0a4f113b".into(),
                }),
                response: String::new(),
            };
            let ha1 = algorithm.ha1("bob", &answer.realm, &Secret::new("zanzibar"));
            let info = Info::new(&answer, &ha1, b"body", Some("next".into()));
            let value = header::to_string(&header::AuthenticationInfo(info.to_header()));
            let read = Info::read(&header::AuthenticationInfo::parse(&value)?.0)?;
            assert_eq!(read, info);
            assert!(read.verify(&answer, &ha1, b"body"));
            assert_eq!(read.verify(&answer, &ha1, b"another"), qop == Qop::Auth);
            assert!(!read.verify(
                &answer,
                &algorithm.ha1("bob", &answer.realm, &Secret::new("x")),
                b"body"
            ));
        }
    }
    Ok(())
}
