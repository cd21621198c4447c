"""A certificate for the loopback, and a full bundle of authorities that has its own among them."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Certificate", "make_certificate"]

_DAYS = 2


@dataclass(frozen=True)
class Certificate:
    """Paths of what a server shows and of what its clients trust."""

    certificate: Path
    key: Path
    bundle: Path

    def shown(self) -> tuple[Path, Path]:
        """Return what a server loads."""
        return self.certificate, self.key

    def environment(self) -> dict[str, str]:
        """Return the variables by which every client is made to trust it, with all others that it would trust."""
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        return dict.fromkeys(names, str(self.bundle))


def make_certificate(folder: Path) -> Certificate:
    """Make an authority and a certificate for 127.0.0.1."""
    made = Certificate(folder / "server.pem", folder / "server.key", folder / "bundle.pem")
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _sign("Bench authority", authority_key, "Bench authority", authority_key, is_authority=True)
    server = _sign("127.0.0.1", key, "Bench authority", authority_key, is_authority=False)
    made.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    known = Path(certifi.where()).read_bytes()
    made.bundle.write_bytes(known + b"\n" + authority.public_bytes(serialization.Encoding.PEM))
    return made


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: str,
    by_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(by))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False)
    )
    if not is_authority:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(by_key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
