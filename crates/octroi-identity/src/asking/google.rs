//! Google's access tokens: `tokeninfo` says whose they are and for whom.

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Map, Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::{NoAnswer, object, url};
use crate::http::Fetcher;
use crate::{GoogleEndpoints, InvalidToken, SetupError};

/// What `userinfo` may add. The rest is `tokeninfo`'s to say.
const OF_USERINFO: [&str; 5] = ["name", "given_name", "family_name", "picture", "hd"];

pub(crate) struct Questions {
    issuer: String,
    tokeninfo: Url,
    userinfo: Option<Url>,
}

impl Questions {
    pub(super) fn new(issuer: &str, endpoints: &GoogleEndpoints) -> Result<Self, SetupError> {
        Ok(Self {
            issuer: issuer.to_owned(),
            tokeninfo: url(&endpoints.tokeninfo)?,
            userinfo: endpoints.userinfo.as_deref().map(url).transpose()?,
        })
    }

    pub(super) async fn ask(&self, fetcher: &Fetcher, token: &str) -> Result<Map<String, Value>, NoAnswer> {
        let mut place = self.tokeninfo.clone();
        place.query_pairs_mut().append_pair("access_token", token);
        let answer = fetcher.answer(fetcher.request(reqwest::Method::GET, &place)?).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => {
                return Err(NoAnswer::Refused(InvalidToken::Inactive));
            }
            _ => return Err(NoAnswer::status(&answer)),
        }
        let mut claims = object(&answer)?;
        // Google writes numbers as text here.
        for name in ["exp", "iat"] {
            let number = claims.get(name).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
            if let Some(number) = number {
                claims.insert(name.to_owned(), json!(number));
            }
        }
        claims.insert("iss".to_owned(), json!(self.issuer));
        if let Some(userinfo) = &self.userinfo {
            self.add_person(fetcher, userinfo, token, &mut claims).await?;
        }
        Ok(claims)
    }

    /// Adds the person's names, where the token lets us see them.
    async fn add_person(
        &self,
        fetcher: &Fetcher,
        userinfo: &Url,
        token: &str,
        claims: &mut Map<String, Value>,
    ) -> Result<(), NoAnswer> {
        let bearer = Zeroizing::new(format!("Bearer {token}"));
        let mut bearer =
            HeaderValue::from_str(&bearer).map_err(|_| NoAnswer::Refused(InvalidToken::Malformed))?;
        bearer.set_sensitive(true);
        let request = fetcher.request(reqwest::Method::GET, userinfo)?.header(AUTHORIZATION, bearer);
        let answer = fetcher.answer(request).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(()),
            _ => return Err(NoAnswer::status(&answer)),
        }
        let mut person = object(&answer)?;
        // OpenID Connect Core §5.3.2: it must be the same subject.
        if person.get("sub") != claims.get("sub") {
            return Err(NoAnswer::silent("userinfo is about somebody else"));
        }
        for name in OF_USERINFO {
            if let Some(value) = person.remove(name) {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(())
    }
}
