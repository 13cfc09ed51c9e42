//! Passwords, certificates and trust, from files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sansip::security::Secret;
use sansip_mio::TlsSettings;
use sansip_net::{Identity, TlsClientConfig, TlsConfigError, TlsServerConfig, TrustStore};

use crate::failure::Failure;

/// No password is longer, in bytes: a file with a longer line is another one.
const LINE: usize = 4096;

/// The first line of a file, or of standard input for `-`.
pub(crate) fn password(file: &str) -> Result<Secret, Failure> {
    let mut line = String::new();
    let read = if file == "-" {
        io::stdin().lock().take(LINE as u64).read_line(&mut line)
    } else {
        File::open(file).and_then(|file| BufReader::new(file.take(LINE as u64)).read_line(&mut line))
    };
    match read {
        Ok(LINE) => Err(Failure::new(format!(
            "the first line of {file} is no password: it has {LINE} bytes or more"
        ))),
        Ok(0) => Err(Failure::new(format!("the password file {file} is empty"))),
        Ok(_) => {
            line.truncate(line.trim_end_matches(['\r', '\n']).len());
            Ok(Secret::new(line))
        }
        Err(error) => Err(Failure::new(format!(
            "cannot read the password file {file}: {error}"
        ))),
    }
}

/// Whom to trust: these roots or the system's, without what these lists revoke.
pub(crate) fn trust(ca: Option<&Path>, crls: &[PathBuf]) -> Result<TrustStore, Failure> {
    let mut trust = match ca {
        Some(file) => {
            let mut trust = TrustStore::empty();
            trust.add_pem_file(file).map_err(wrong)?;
            trust
        }
        None => TrustStore::system(),
    };
    for file in crls {
        trust.add_crl_file(file).map_err(wrong)?;
    }
    Ok(trust)
}

/// TLS as an endpoint speaks it: whom it trusts, what it shows, where it has something, and whether it wants to see a
/// certificate of who connects.
pub(crate) fn endpoint_tls(
    trust: &TrustStore,
    identity: Option<Identity>,
    mutual: bool,
    key_log: bool,
) -> Result<TlsSettings, Failure> {
    if key_log && std::env::var_os("SSLKEYLOGFILE").is_none() {
        return Err(Failure::usage(
            "--key-log needs the environment variable SSLKEYLOGFILE, which names the file",
        ));
    }
    let mut client = TlsClientConfig::builder(trust.clone()).key_log(key_log);
    if let Some(identity) = &identity {
        client = client.identity(identity.clone());
    }
    let server = identity.map(|identity| {
        let server = TlsServerConfig::builder(identity).key_log(key_log);
        if mutual {
            server.require_client_certificate(trust.clone()).build()
        } else {
            server.build()
        }
    });
    Ok(TlsSettings {
        client: Some(client.build().map_err(wrong)?),
        server: server.transpose().map_err(wrong)?,
    })
}

/// A certificate with its key, where the command line names one.
pub(crate) fn identity(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<Identity>, Failure> {
    let (Some(cert), Some(key)) = (cert, key) else {
        return Ok(None);
    };
    Identity::from_pem_files(cert, key).map(Some).map_err(wrong)
}

pub(crate) fn wrong(error: TlsConfigError) -> Failure {
    Failure::new(error.to_string())
}
