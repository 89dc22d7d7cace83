"""Certificates for one test: an authority, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rondel.rpc.channel import TlsFiles

__all__ = ["Authority"]

_PEM = serialization.Encoding.PEM


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates for 127.0.0.1 and one name each; files go to `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, self._key, x509.BasicConstraints(ca=True, path_length=None), [])
        self._ca = self._file("ca.crt", certificate.public_bytes(_PEM))

    def files(self, holder: str, *, server_name: str = "") -> TlsFiles:
        """A new certificate, its key and the authority's certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(holder), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = self._signed(holder, key, x509.BasicConstraints(ca=False, path_length=None), names)
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return TlsFiles(
            self._ca,
            self._file(f"{holder}.crt", certificate.public_bytes(_PEM)),
            self._file(f"{holder}.key", private),
            server_name,
        )

    def _signed(
        self,
        holder: str,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(holder))
            .issuer_name(_name(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(constraints, critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _file(self, name: str, content: bytes) -> str:
        path = self._folder / f"{self._name}-{name}"
        path.write_bytes(content)
        return str(path)
