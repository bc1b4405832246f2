//! Where the database is, and connections to it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Socket, Statement};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as RustlsStream;

use super::NotWritten;
use crate::error::UrlError;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// A ledger's place in PostgreSQL.
#[derive(Clone)]
pub(crate) struct PostgresPlace {
    config: Config,
    /// The schema the tables are in.
    pub(super) schema: String,
    tls: Option<Arc<ClientConfig>>,
    /// How long one batch may take.
    pub(crate) timeout: Duration,
    /// How long a gate that is not heard of counts as living.
    pub(crate) lease: Duration,
}

impl fmt::Debug for PostgresPlace {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresPlace({self})")
    }
}

impl fmt::Display for PostgresPlace {
    /// Host, database and schema; never user or password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "postgres://{host}/{database}?schema={}", self.schema)
    }
}

/// What a URL says beyond what the driver reads.
#[derive(Default)]
struct Ours {
    schema: Option<String>,
    sslmode: Option<String>,
    roots: Option<PathBuf>,
}

impl PostgresPlace {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=octroi&sslmode=…&sslrootcert=PATH`.
    ///
    /// Without `sslmode`, TLS is used unless the server is on this machine. Certificates and names are always checked where
    /// TLS is used, against `sslrootcert` (PEM) or Mozilla's authorities.
    pub(crate) fn parse(url: &str, timeout: Duration, lease: Duration) -> Result<Self, UrlError> {
        let (rest, ours) = take_ours(url)?;
        let mut config: Config = rest.parse().map_err(|_| UrlError("not a PostgreSQL URL".to_owned()))?;
        config.connect_timeout(CONNECT.min(timeout)).application_name("octroi");
        let near = config.get_hosts().iter().all(is_near);
        let secured = match ours.sslmode.as_deref() {
            None => !near,
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(_) => return Err(UrlError("sslmode is disable, require or verify-full".to_owned())),
        };
        config.ssl_mode(if secured { SslMode::Require } else { SslMode::Disable });
        let schema = ours.schema.unwrap_or_else(|| "octroi".to_owned());
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || schema.len() > 63 || !schema.chars().all(named) {
            return Err(UrlError("the schema's name has lower-case letters, digits and _ only".to_owned()));
        }
        let tls = if secured { Some(Arc::new(tls_config(ours.roots)?)) } else { None };
        Ok(Self { config, schema, tls, timeout, lease })
    }

    /// Whether two URLs said the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let secured = self.tls.is_some() == other.tls.is_some();
        secured && self.config == other.config && self.schema == other.schema && self.timeout == other.timeout
    }

    /// A connection, looking at the ledger's schema.
    pub(super) async fn connect(&self) -> Result<Session, NotWritten> {
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(MakeRustls(Arc::clone(tls))).await?;
                drive(connection);
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                drive(connection);
                client
            }
        };
        let patience = self.timeout.as_millis();
        // What this end has given up, the other end gives up too: its locks must not outlive it.
        let settings = format!(
            "SET search_path = \"{}\"; SET synchronous_commit = on; SET statement_timeout = {patience};
             SET idle_in_transaction_session_timeout = {patience}; SET client_min_messages = warning; SET jit = off",
            self.schema
        );
        client.batch_execute(&settings).await?;
        Ok(Session { client, statements: HashMap::new() })
    }
}

fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the ledger's database has ended");
        }
    });
}

fn is_near(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

/// Takes our own parameters out of the URL's query.
fn take_ours(url: &str) -> Result<(String, Ours), UrlError> {
    let mut ours = Ours::default();
    let Some((front, query)) = url.split_once('?') else { return Ok((url.to_owned(), ours)) };
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "schema" => ours.schema = Some(value.to_owned()),
            "sslmode" => ours.sslmode = Some(value.to_owned()),
            "sslrootcert" => ours.roots = Some(PathBuf::from(value)),
            _ => others.push(pair),
        }
    }
    let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    Ok((format!("{front}{query}"), ours))
}

fn tls_config(roots: Option<PathBuf>) -> Result<ClientConfig, UrlError> {
    let mut store = RootCertStore::empty();
    match roots {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unreadable = |error: &dyn fmt::Display| {
                UrlError(format!("sslrootcert {} cannot be read: {error}", path.display()))
            };
            let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| unreadable(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                store.add(certificate).map_err(|error| unreadable(&error))?;
            }
            if store.is_empty() {
                return Err(unreadable(&"no certificate is in it"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UrlError(error.to_string()))?;
    Ok(versions.with_root_certificates(store).with_no_client_auth())
}

/// One connection, with the statements it has prepared.
pub(super) struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// A statement's parameters.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Prepares statements that are to be sent together.
    pub(super) async fn prepare(&mut self, all: &[&'static str]) -> Result<(), NotWritten> {
        for sql in all {
            if !self.statements.contains_key(sql) {
                let statement = self.client.prepare(sql).await?;
                self.statements.insert(sql, statement);
            }
        }
        Ok(())
    }

    /// Runs a statement that was prepared before.
    pub(super) async fn rows(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, NotWritten> {
        let Some(statement) = self.statements.get(sql) else {
            return Err(NotWritten::Broken("a statement was not prepared".to_owned()));
        };
        Ok(self.client.query(statement, params).await?)
    }

    /// Prepares and runs a statement.
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, NotWritten> {
        self.prepare(&[sql]).await?;
        self.rows(sql, params).await
    }

    /// Prepares and runs a statement; says how many rows it touched.
    pub(super) async fn execute(&mut self, sql: &'static str, params: Params<'_>) -> Result<u64, NotWritten> {
        self.prepare(&[sql]).await?;
        let Some(statement) = self.statements.get(sql) else {
            return Err(NotWritten::Broken("a statement was not prepared".to_owned()));
        };
        Ok(self.client.execute(statement, params).await?)
    }

    /// Runs SQL without parameters.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), NotWritten> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Asks without preparing.
    pub(super) async fn ask(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, NotWritten> {
        Ok(self.client.query(sql, params).await?)
    }

    /// Runs `work` in a transaction.
    pub(super) async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, NotWritten>,
    ) -> Result<T, NotWritten> {
        self.batch("BEGIN").await?;
        match work(self).await {
            Ok(value) => {
                self.batch("COMMIT").await?;
                Ok(value)
            }
            Err(error) => {
                // A connection that cannot even do this is given up by whoever meets it next.
                if !matches!(error, NotWritten::Broken(_)) {
                    self.batch("ROLLBACK").await?;
                }
                Err(error)
            }
        }
    }
}

/// Makes TLS connections with rustls.
#[derive(Clone)]
struct MakeRustls(Arc<ClientConfig>);

impl MakeTlsConnect<Socket> for MakeRustls {
    type Stream = Rustls;
    type TlsConnect = ConnectRustls;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<ConnectRustls, Self::Error> {
        let name = ServerName::try_from(domain)?.to_owned();
        Ok(ConnectRustls { name, connector: TlsConnector::from(Arc::clone(&self.0)) })
    }
}

struct ConnectRustls {
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl TlsConnect<Socket> for ConnectRustls {
    type Stream = Rustls;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Rustls>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            self.connector.connect(self.name, stream).await.map(|stream| Rustls(Box::new(stream)))
        })
    }
}

struct Rustls(Box<RustlsStream<Socket>>);

impl TlsStream for Rustls {
    fn channel_binding(&self) -> ChannelBinding {
        // The certificate and the name are checked, which is what the binding would add to a password.
        ChannelBinding::none()
    }
}

impl AsyncRead for Rustls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Rustls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PostgresPlace, UrlError> {
        PostgresPlace::parse(url, CONNECT, CONNECT)
    }

    #[test]
    fn tls_is_used_unless_the_server_is_near_or_the_operator_says_no() {
        let secured = |url: &str| parse(url).map(|place| place.tls.is_some());
        assert_eq!(secured("postgres://a:b@db.example.com/money"), Ok(true));
        assert_eq!(secured("postgres://a:b@db.example.com/money?sslmode=disable"), Ok(false));
        assert_eq!(secured("postgres://a:b@localhost/money"), Ok(false));
        assert_eq!(secured("postgres://a:b@127.0.0.1/money?sslmode=verify-full"), Ok(true));
        assert_eq!(secured("postgres:///money?host=/run/postgresql"), Ok(false));
        assert!(secured("postgres://a:b@localhost/money?sslmode=prefer").is_err());
        assert!(secured("postgres://a:b@localhost/money?sslmode=require&sslrootcert=/nowhere").is_err());
    }

    #[test]
    fn neither_text_nor_debug_shows_the_password() {
        let place =
            parse("postgres://a:hunter2@localhost/money?schema=mine").map_err(|error| error.to_string());
        let text = format!("{place:?}");
        assert!(text.contains("localhost/money?schema=mine") && !text.contains("hunter2"), "{text}");
        let error = format!("{:?}", parse("postgres://a:hunter2@localhost:not-a-port/money"));
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_schema_is_a_plain_name() {
        for wrong in ["", "a\"b", "A", "a;b", "a b"] {
            assert!(parse(&format!("postgres://a@localhost/money?schema={wrong}")).is_err(), "{wrong}");
        }
    }
}
