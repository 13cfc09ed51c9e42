//! Reading the names and usages of a certificate whose chain is proved already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sansip::PeerCertificate;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{self, Decode, Encode};
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::ext::pkix::name::GeneralName;

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// What the certificate says of its subject.
///
/// The common name is left out where a subjectAltName is present that names no host: the core looks at the
/// common name when it is told of no other, and RFC 5922 section 7.1 allows that only without the extension.
pub(crate) fn read(certificate: &[u8]) -> Result<PeerCertificate, der::Error> {
    // The profile without checks of its own: what webpki has accepted is not judged a second time.
    let certificate = CertificateInner::<Raw>::from_der(certificate)?;
    let certificate = certificate.tbs_certificate();
    let mut peer = PeerCertificate::default();
    let mut has_alt_name = false;
    for extension in certificate.extensions().into_iter().flatten() {
        if extension.extn_id == SUBJECT_ALT_NAME {
            has_alt_name = true;
            read_alt_names(extension.extn_value.as_bytes(), &mut peer)?;
        } else if extension.extn_id == EXTENDED_KEY_USAGE {
            let usages = ExtendedKeyUsage::from_der(extension.extn_value.as_bytes())?;
            peer.key_usages.extend(usages.0.iter().map(ToString::to_string));
        }
    }
    let names_host = !(peer.dns_names.is_empty() && peer.uris.is_empty() && peer.addresses.is_empty());
    if names_host || !has_alt_name {
        peer.common_name = certificate
            .subject()
            .common_name()
            .ok()
            .flatten()
            .map(|name| name.value().into_owned());
    }
    Ok(peer)
}

/// Each name is decoded alone, so that one of a kind we do not read hides no other.
fn read_alt_names(extension: &[u8], peer: &mut PeerCertificate) -> Result<(), der::Error> {
    for name in Vec::<Any>::from_der(extension)? {
        match GeneralName::from_der(&name.to_der()?) {
            Ok(GeneralName::DnsName(name)) => peer.dns_names.push(name.as_str().to_owned()),
            Ok(GeneralName::UniformResourceIdentifier(uri)) => peer.uris.push(uri.as_str().to_owned()),
            Ok(GeneralName::IpAddress(octets)) => peer.addresses.extend(address(octets.as_bytes())),
            Ok(
                GeneralName::OtherName(_)
                | GeneralName::Rfc822Name(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EdiPartyName(_)
                | GeneralName::RegisteredId(_),
            )
            | Err(_) => {}
        }
    }
    Ok(())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(|v4| IpAddr::V4(Ipv4Addr::from(v4)))
        .or_else(|_| <[u8; 16]>::try_from(octets).map(|v6| IpAddr::V6(Ipv6Addr::from(v6))))
        .ok()
}
