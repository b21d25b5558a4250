//! The server's own certificate authority: issues one certificate to the server and one to each agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_types::{Fault, Result, code};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};

use crate::platform::secrets::write_private;

/// Name that agents expect in the server's certificate.
pub const SERVER_NAME: &str = "cairn-server";

/// What an agent needs to dial in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Certificate of the authority, PEM.
    pub ca: String,
    /// The agent's certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// Hex SHA-256 of the certificate: how the server knows the agent again.
    pub fingerprint: String,
}

/// The authority; its files are in `<data-dir>/pki`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

fn wrong(what: &str) -> impl FnOnce(rcgen::Error) -> Fault + '_ {
    move |e| Fault::new(code::CERTIFICATE, format!("{what} could not be made")).for_operator(e)
}

fn files(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("ca.pem"), folder.join("ca.key"))
}

impl Authority {
    /// Reads the authority, or makes it on the first start.
    pub fn open(folder: &Path) -> Result<Self> {
        let (cert_file, key_file) = files(folder);
        let io = |e: std::io::Error| {
            Fault::new(code::CERTIFICATE, "the certificate folder can't be used").for_operator(e)
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        if !key_file.exists() || !cert_file.exists() {
            let key = KeyPair::generate().map_err(wrong("the authority's key"))?;
            let cert = ca_params().self_signed(&key).map_err(wrong("the authority's certificate"))?;
            write_private(&key_file, key.serialize_pem().as_bytes())?;
            write_private(&cert_file, cert.pem().as_bytes())?;
        }
        let ca_pem = std::fs::read_to_string(&cert_file).map_err(io)?;
        let key_pem = std::fs::read_to_string(&key_file).map_err(io)?;
        let key = KeyPair::from_pem(&key_pem).map_err(wrong("the authority's key"))?;
        Ok(Self { issuer: Issuer::new(ca_params(), key), ca_pem })
    }

    /// Tells this authority from another one.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.ca_pem.trim().as_bytes())
    }

    /// Issues a certificate to an agent; its uuid is the common name.
    pub fn issue(&self, agent: &str) -> Result<Credentials> {
        let key = KeyPair::generate().map_err(wrong("an agent's key"))?;
        let mut params =
            CertificateParams::new(vec![agent.to_owned()]).map_err(wrong("an agent's certificate"))?;
        params.distinguished_name.push(DnType::CommonName, agent);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer).map_err(wrong("an agent's certificate"))?;
        Ok(Credentials {
            ca: self.ca_pem.clone(),
            certificate: cert.pem(),
            key: key.serialize_pem(),
            fingerprint: fingerprint(cert.der()),
        })
    }

    /// TLS settings of the agents' port: only agents with a certificate of this authority get in.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let tls = |e: &dyn std::fmt::Display| {
            Fault::new(code::CERTIFICATE, "TLS could not be set up").for_operator(e)
        };
        let key = KeyPair::generate().map_err(wrong("the server's key"))?;
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])
            .map_err(wrong("the server's certificate"))?;
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let cert = params.signed_by(&key, &self.issuer).map_err(wrong("the server's certificate"))?;
        let ca = CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).map_err(|e| tls(&e))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca).map_err(|e| tls(&e))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|e| tls(&e))?;
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(|e| tls(&e))?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| tls(&e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![cert.der().clone()], key)
            .map_err(|e| tls(&e))?;
        Ok(Arc::new(config))
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Cairn agent authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Hex SHA-256 of a certificate.
pub fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|b| format!("{b:02x}")).collect()
}
