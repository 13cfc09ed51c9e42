//! Certificates that are right, and wrong in every way.

use std::net::Ipv4Addr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use sansip_net::{Identity, TlsClientConfig, TlsServerConfig, TrustStore};

pub(crate) const ALICE: &str = "alice.example.com";
pub(crate) const BOB: &str = "bob.example.com";
/// The extended key usage of a SIP domain.
pub(crate) const SIP_DOMAIN: &str = "1.3.6.1.5.5.7.3.20";
/// The serial number that [`Ca::revoking`] revokes.
const REVOKED: u8 = 7;

/// A certification authority.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Self {
        Self::called("root")
    }

    pub(crate) fn called(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn trust(&self) -> TrustStore {
        let mut trust = TrustStore::empty();
        assert_eq!(trust.add_pem(self.0.pem().as_bytes()), Ok(1));
        trust
    }

    /// Trust with a list of revoked certificates.
    pub(crate) fn revoking(&self) -> TrustStore {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from_slice(&[REVOKED]),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.0).unwrap().pem().unwrap();
        let mut trust = self.trust();
        assert_eq!(trust.add_crl(list.as_bytes()), Ok(1));
        trust
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap().pem();
        Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.issue(name, |_| {})
    }

    pub(crate) fn expired(&self, name: &str) -> Identity {
        self.issue(name, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    pub(crate) fn not_yet_valid(&self, name: &str) -> Identity {
        self.issue(name, |params| {
            params.not_before = date_time_ymd(3999, 1, 1);
            params.not_after = date_time_ymd(4000, 1, 1);
        })
    }

    pub(crate) fn revoked(&self, name: &str) -> Identity {
        self.issue(name, |params| {
            params.serial_number = Some(SerialNumber::from_slice(&[REVOKED]));
        })
    }

    pub(crate) fn only_for(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Identity {
        self.issue(name, |params| params.extended_key_usages = vec![usage])
    }

    /// For a SIP domain (RFC 5924), in either role.
    pub(crate) fn sip_domain(&self, name: &str) -> Identity {
        let usage = SIP_DOMAIN.split('.').map(|arc| arc.parse().unwrap()).collect();
        self.only_for(name, ExtendedKeyUsagePurpose::Other(usage))
    }

    /// For whatever is named here.
    pub(crate) fn named(&self, names: Vec<SanType>) -> Identity {
        self.issue(BOB, |params| params.subject_alt_names = names)
    }

    /// For so many names, of which the last is this one.
    pub(crate) fn of_many(&self, count: u32, last: &str) -> Identity {
        let others = (1..count).map(|number| format!("h{number}.example.net"));
        let names = others.chain([last.to_owned()]);
        self.named(
            names
                .map(|name| SanType::DnsName(name.try_into().unwrap()))
                .collect(),
        )
    }

    /// For a DNS name of these bytes, whatever they are.
    pub(crate) fn raw(&self, name: &[u8]) -> Identity {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        // RFC 5280 section 4.2.1.6: a sequence of names, here one dNSName.
        let one = [&[0x82, length(name)], name].concat();
        let names = [&[0x30, length(&one)], &one[..]].concat();
        self.issue(BOB, |params| {
            params.subject_alt_names.clear();
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], names);
            params.custom_extensions.push(extension);
        })
    }

    /// Without a subjectAltName.
    pub(crate) fn common(&self, name: &str) -> Identity {
        self.issue(BOB, |params| {
            params.subject_alt_names.clear();
            params.distinguished_name.push(DnType::CommonName, name);
        })
    }

    pub(crate) fn client(&self) -> TlsClientConfig {
        client(self.trust(), None)
    }

    /// For a server that is known by its address.
    pub(crate) fn server_at_loopback(&self) -> TlsServerConfig {
        let address = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
        server(self.issue(BOB, |params| params.subject_alt_names = vec![address]))
    }

    pub(crate) fn server(&self, name: &str) -> TlsServerConfig {
        server(self.identity(name))
    }
}

pub(crate) fn client(trust: TrustStore, identity: Option<Identity>) -> TlsClientConfig {
    let builder = TlsClientConfig::builder(trust);
    match identity {
        Some(identity) => builder.identity(identity).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

pub(crate) fn server(identity: Identity) -> TlsServerConfig {
    TlsServerConfig::builder(identity).build().unwrap()
}

pub(crate) fn mutual_server(identity: Identity, trust: TrustStore) -> TlsServerConfig {
    TlsServerConfig::builder(identity)
        .require_client_certificate(trust)
        .build()
        .unwrap()
}
