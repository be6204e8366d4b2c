//! Which cluster a verb speaks to, and how: from flags, the environment, or a context.

use std::{env, net::IpAddr, path::PathBuf};

use clap::Args;
use ureq::http::Uri;
use wasmill_model::fault::Code;

use crate::{
    client::Client,
    contexts::{Context, Contexts},
    credentials::{self, Token},
    error::Error,
    output::{Output, tell},
};

const SERVER_VARIABLE: &str = "WASMILL_SERVER";
const TOKEN_VARIABLE: &str = "WASMILL_TOKEN_FILE";

/// Where a cluster is that nobody has named.
const SERVER_DEFAULT: &str = "http://127.0.0.1:7420";

/// What every verb takes that speaks to a cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How a cluster is reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Connection {
    /// Address of the JobManager [default: $WASMILL_SERVER, else that of the current context, else
    /// http://127.0.0.1:7420].
    #[arg(long, value_name = "URL", conflicts_with = "context")]
    server: Option<String>,
    /// A cluster by the name that `wasmill config set-context` gave it.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// File of the token, readable by its owner alone [default: $WASMILL_TOKEN_FILE, else that of the context].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates to trust, PEM, in place of those that this machine trusts.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate to show the JobManager, PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key of --cert, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Connection {
    /// The client that speaks to this cluster.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let context = self.resolve(variable, known_contexts)?;
        let server = check(&context.server)?;
        let token = context.token_file.as_deref().map(Token::read).transpose()?;
        if token.is_some() && !server.is_encrypted && !server.is_loopback {
            tell(&format!("warning: the token goes to {} unencrypted: everybody on the way can read it\n", server.url));
        }
        let tls = match server.is_encrypted {
            true => {
                let Context { ca, cert, key, .. } = &context;
                Some(credentials::tls(ca.as_deref(), cert.as_deref(), key.as_deref())?)
            }
            false => None,
        };
        let client = Client::new(&server.url, token, tls, server.is_loopback);
        Ok(client.known_by(self.flags()))
    }

    /// What to repeat on a command line to reach the same cluster.
    fn flags(&self) -> String {
        match (&self.server, &self.context) {
            (Some(server), _) => format!(" --server {server}"),
            (None, Some(context)) => format!(" --context {context}"),
            (None, None) => String::new(),
        }
    }

    fn resolve(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        known: impl FnOnce() -> Result<Contexts, Error>,
    ) -> Result<Context, Error> {
        let of_server = |server: &str| Context { server: server.to_owned(), ..Context::default() };
        let mut context = match (&self.server, &self.context, variable(SERVER_VARIABLE)) {
            (Some(server), _, _) => of_server(server),
            (None, Some(name), _) => known()?.find(name)?.clone(),
            (None, None, Some(server)) => of_server(&server),
            (None, None, None) => {
                let contexts = known()?;
                match &contexts.current {
                    Some(name) => contexts.find(name)?.clone(),
                    None => of_server(SERVER_DEFAULT),
                }
            }
        };
        // The credentials of a context are shown to the server of that context only.
        let token_file = self.token_file.clone().or_else(|| variable(TOKEN_VARIABLE).map(PathBuf::from));
        context.token_file = token_file.or(context.token_file);
        context.ca = self.ca.clone().or(context.ca);
        if self.cert.is_some() {
            (context.cert, context.key) = (self.cert.clone(), self.key.clone());
        }
        Ok(context)
    }
}

fn known_contexts() -> Result<Contexts, Error> {
    Contexts::file().map_or_else(|| Ok(Contexts::default()), |file| Contexts::read(&file))
}

/// A server's address, looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Without a slash at its end.
    pub(crate) url: String,
    is_encrypted: bool,
    is_loopback: bool,
}

/// Takes a server's address apart.
pub(crate) fn check(text: &str) -> Result<Server, Error> {
    let error = |reason: &str| {
        // Somebody may have written a password in it.
        let shown = if text.contains('@') { "the server's address" } else { text };
        let hint = "write it as http://HOST:PORT or https://HOST:PORT";
        Error::new(Code::CommandLine, format!("could not use {shown}: {reason}\n  hint: {hint}"))
    };
    let uri: Uri = text.parse().map_err(|_| error("it is no URL"))?;
    let is_encrypted = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(error("it begins neither with http:// nor with https://")),
    };
    let Some(authority) = uri.authority() else { return Err(error("it names no host")) };
    if authority.as_str().contains('@') {
        return Err(error("names and passwords do not belong there"));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(error("it has parts that an address does not have"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    Ok(Server { url: text.trim_end_matches('/').to_owned(), is_encrypted, is_loopback })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let good = |text: &str, url: &str, is_encrypted: bool, is_loopback: bool| {
            assert_eq!(check(text), Ok(Server { url: url.to_owned(), is_encrypted, is_loopback }));
        };
        good("http://127.0.0.1:7420/", "http://127.0.0.1:7420", false, true);
        good("https://jobs.example.com", "https://jobs.example.com", true, false);
        good("http://[::1]:7420", "http://[::1]:7420", false, true);
        good("http://localhost:1/wasmill", "http://localhost:1/wasmill", false, true);
        for bad in ["", "127.0.0.1:7420", "ftp://a", "http://", "http://a?b=c", "http://a#b", "http://a b"] {
            let shown = check(bad).expect_err(bad).shown();
            assert!(shown.contains("write it as http://HOST:PORT"), "{shown}");
        }
        let shown = check("http://me:secret@a").expect_err("it holds a password").shown();
        assert!(!shown.contains("secret"), "{shown}");
    }

    fn contexts() -> Result<Contexts, Error> {
        let mut contexts = Contexts::default();
        contexts.set(Context {
            name: "prod".to_owned(),
            server: "https://prod".to_owned(),
            token_file: Some("/prod.token".into()),
            ..Context::default()
        });
        Ok(contexts)
    }

    #[test]
    fn the_nearest_source_of_an_address_wins_and_keeps_its_token_to_itself() {
        type Variable = (&'static str, &'static str);
        let check = |connection: &Connection, variables: &[Variable], server: &str, token: Option<&str>| {
            let variable = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
            let found = connection.resolve(variable, contexts).expect("it is named");
            assert_eq!((found.server.as_str(), found.token_file), (server, token.map(PathBuf::from)));
        };
        let nothing = Connection::default();
        let flag = Connection { server: Some("http://flag".to_owned()), ..Connection::default() };
        let named = Connection { context: Some("prod".to_owned()), ..Connection::default() };
        let variable = (SERVER_VARIABLE, "http://variable");
        check(&nothing, &[], "https://prod", Some("/prod.token"));
        check(&nothing, &[variable], "http://variable", None);
        check(&named, &[variable], "https://prod", Some("/prod.token"));
        check(&flag, &[variable], "http://flag", None);
        check(&flag, &[(TOKEN_VARIABLE, "/my.token")], "http://flag", Some("/my.token"));
        check(&nothing, &[(TOKEN_VARIABLE, "/my.token")], "https://prod", Some("/my.token"));
        assert_eq!(flag.flags(), " --server http://flag");
        let no_contexts = nothing.resolve(|_| None, || Ok(Contexts::default())).expect("there is a default");
        assert_eq!(no_contexts.server, SERVER_DEFAULT);
    }
}
