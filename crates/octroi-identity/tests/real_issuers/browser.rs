//! A browser as far as a sign-in needs one: it follows redirects and keeps cookies, each where it belongs.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;

/// How many redirects a sign-in may take.
const MAX_STEPS: usize = 20;

/// Follows an authorization request to the client's callback, and gives the parameters it comes back with.
pub(crate) async fn sign_in(start: Url, callback: &str) -> BTreeMap<String, String> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    // Name, path and value: these issuers set cookies of one name for several paths.
    let mut cookies: Vec<(String, String, String)> = Vec::new();
    let mut at = start;
    for _ in 0..MAX_STEPS {
        if at.as_str().starts_with(callback) {
            return at.query_pairs().into_owned().collect();
        }
        let own: Vec<String> = cookies
            .iter()
            .filter(|(_, path, _)| at.path().starts_with(path.as_str()))
            .map(|(name, _, value)| format!("{name}={value}"))
            .collect();
        let response = client.get(at.clone()).header(COOKIE, own.join("; ")).send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (name, path, value) = cookie_of(cookie.to_str().unwrap());
            cookies.retain(|(other, place, _)| (other, place) != (&name, &path));
            if !value.is_empty() {
                cookies.push((name, path, value));
            }
        }
        let status = response.status();
        let Some(location) = response.headers().get(LOCATION) else {
            panic!("{at}: {status}: {}", response.text().await.unwrap());
        };
        at = at.join(location.to_str().unwrap()).unwrap();
    }
    panic!("the sign-in goes in circles: {at}");
}

fn cookie_of(text: &str) -> (String, String, String) {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).unwrap();
    let path = parts.find_map(|part| {
        part.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("path")).map(|(_, path)| path)
    });
    (name.to_owned(), path.unwrap_or("/").to_owned(), value.to_owned())
}
