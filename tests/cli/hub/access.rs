//! Tokens, and what the hub does not have or does not give.

use super::server::{Gate, Published};
use super::site::{GREEDY, MODEL, Site};

#[test]
fn the_token_goes_to_the_hub_and_to_no_other_host() {
    let site = Site::new();
    site.hub.change(MODEL, |published| published.gate = Gate::Gated("secret"));
    let line = format!("generate --model hub:owner/tiny {GREEDY}");
    site.refused(&[], "hub:owner/tiny", &["access has to be granted first (401)", "HF_TOKEN"]);
    site.refused(&[("HF_TOKEN", "wrong")], "hub:owner/tiny", &["access has to be granted first (401)"]);
    site.hub.asked();
    site.run_with(&[("HF_TOKEN", "secret"), ("HUGGING_FACE_HUB_TOKEN", "wrong")], &line).ok();
    let asked = site.hub.asked();
    let (elsewhere, hub): (Vec<_>, Vec<_>) = asked.iter().partition(|asked| asked.elsewhere);
    assert!(!elsewhere.is_empty());
    assert!(hub.iter().all(|asked| asked.authorization.as_deref() == Some("Bearer secret")), "{hub:?}");
    assert!(elsewhere.iter().all(|asked| asked.authorization.is_none()), "{elsewhere:?}");
    site.place.remove("hf");
    site.run_with(&[("HUGGING_FACE_HUB_TOKEN", "secret")], &line).ok();
    site.place.remove("hf");
    site.place.write("hf/token", "secret\n");
    let moved = site.place.path("elsewhere").display().to_string();
    site.run_with(&[("HF_HUB_CACHE", &moved)], &line).ok();
    assert!(site.place.exists("elsewhere/models--owner--tiny") && !site.place.exists("hf/hub"));
    let wrong = site.run_with(&[("HF_TOKEN", "a-wrong-token")], &line);
    assert!(!wrong.stderr.contains("a-wrong-token"), "{wrong}");
}

#[test]
fn what_the_hub_does_not_have_or_give_is_told() {
    let site = Site::new();
    site.hub.change(MODEL, |published| published.gate = Gate::Private("secret"));
    let (with, endpoint) = ([("HF_TOKEN", "secret")], site.hub.endpoint());
    let asks = [&format!("{endpoint} asks for a token (401)"), "the name is wrong", "HF_TOKEN"];
    site.refused(&[], "hub:owner/tiny", &asks);
    site.refused(&[("HF_TOKEN", "wrong")], "hub:owner/tiny", &["does not accept the token for it (401)"]);
    site.refused(&with, "hub:owner/none", &["there is no such model or revision", "private (404)"]);
    site.refused(&with, "hub:owner/tiny@v9", &["there is no such model or revision"]);
    let data = site.run_with(&with, "data preview --model model --data hub:owner/tiny");
    data.expect(1, &["error: hub:owner/tiny: there is no such data set or revision"]);
    site.run_with(&with, "score --model hub:owner/tiny --tokens 1,2").ok();
}

#[test]
fn a_renamed_repository_is_found_under_its_old_name() {
    let site = Site::new();
    site.hub.publish("models/old/name", Published { moved: Some(MODEL.into()), ..Published::default() });
    let with = [("HF_TOKEN", "secret")];
    site.hub.change(MODEL, |published| published.gate = Gate::Gated("secret"));
    let line = format!("generate --model hub:old/name {GREEDY}");
    assert_eq!(site.run_with(&with, &line).ok().result()["tokens"], site.tokens("model"));
}
