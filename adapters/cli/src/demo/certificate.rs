//! An authority and a server's certificate, made for one run and held in memory only.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use sansip_mio::TlsSettings;
use sansip_net::{Identity, TlsClientConfig, TlsServerConfig, TrustStore};

use crate::failure::Failure;
use crate::secrets::wrong;

pub(crate) struct Certificates {
    /// The root that the endpoints trust.
    root: String,
    /// What the server shows.
    chain: String,
    key: String,
}

impl Certificates {
    pub(crate) fn make() -> Result<Self, Failure> {
        Self::try_make().map_err(|error| Failure::new(format!("cannot make a certificate: {error}")))
    }

    fn try_make() -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "sansip demo authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        // The endpoints ask for the server by its address.
        let mut server = CertificateParams::new([String::from("127.0.0.1"), String::from("localhost")])?;
        server
            .distinguished_name
            .push(DnType::CommonName, "sansip demo server");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &authority)?;
        Ok(Self {
            root: authority.pem(),
            chain: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Trust in the authority, and nothing to show.
    pub(crate) fn client(&self) -> Result<TlsSettings, Failure> {
        let mut trust = TrustStore::empty();
        trust.add_pem(self.root.as_bytes()).map_err(wrong)?;
        let client = TlsClientConfig::builder(trust).build().map_err(wrong)?;
        Ok(TlsSettings {
            client: Some(client),
            server: None,
        })
    }

    pub(crate) fn server(&self) -> Result<TlsServerConfig, Failure> {
        let identity = Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes()).map_err(wrong)?;
        TlsServerConfig::builder(identity).build().map_err(wrong)
    }
}
