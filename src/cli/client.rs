//! Talks to a running daemon's API: one request, one answer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::view::Trouble;

/// The API listens on the same machine as a rule; longer than this is no answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reading and compiling a large configuration takes a while.
const PATIENCE_TRYING: Duration = Duration::from_secs(300);

/// A daemon's API.
pub(super) struct Client {
    base: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// For the API at `api`, else where the configuration at `config` says it listens.
    pub(super) fn new(api: Option<&str>, config: Option<&Path>) -> anyhow::Result<Self> {
        let address = match api {
            Some(address) => address.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            None => super::files::api_address(config)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the client's runtime")?;
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .context("cannot set up the HTTP client")?;
        Ok(Self { base: format!("http://{address}"), http, runtime })
    }

    /// GET `path` with `query`.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let url = self.url(path, query)?;
        self.send(self.http.get(url))
    }

    /// POST `body` to `path`.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_string(body).context("cannot write the request")?;
        let request =
            self.http.post(self.url(path, &[])?).header("content-type", "application/json");
        self.send(request.body(body))
    }

    /// POST `octets` to `path`. Longer is waited for: the other side tries what it gets.
    pub(super) fn post_octets<T: DeserializeOwned>(
        &self,
        path: &str,
        octets: Vec<u8>,
    ) -> anyhow::Result<T> {
        let request = self.http.post(self.url(path, &[])?).timeout(PATIENCE_TRYING);
        self.send(request.body(octets))
    }

    /// DELETE `path` with `query`.
    pub(super) fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let url = self.url(path, query)?;
        self.send(self.http.delete(url))
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<reqwest::Url> {
        reqwest::Url::parse_with_params(&format!("{}{path}", self.base), query)
            .with_context(|| format!("'{}' is no address of an API", self.base))
    }

    fn send<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> anyhow::Result<T> {
        let (status, body) = self
            .runtime
            .block_on(async {
                let response = request.send().await?;
                let status = response.status();
                Ok::<_, reqwest::Error>((status, response.bytes().await?))
            })
            .with_context(|| format!("no daemon answers at {}", self.base))?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .with_context(|| format!("{} does not speak this version's API", self.base));
        }
        match serde_json::from_slice::<Trouble>(&body) {
            Ok(Trouble { error }) if status == reqwest::StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Faulty(error).into())
            }
            Ok(trouble) => bail!("{}", trouble.error),
            Err(_) => bail!("{} answered with status {status}", self.base),
        }
    }
}

/// What was asked for is understood, and has faults.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Faulty(pub(super) String);
