"""Certificates of one instance: an authority of its own for the API server, another for the store."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.gke.errors import DamagedError
from local.gke.files import write_private

_VALID = datetime.timedelta(days=365)
_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class KeyPair:
    """Files of a certificate and its private key, in PEM."""

    certificate: Path
    key: Path

    @property
    def exists(self) -> bool:
        """Whether both files are there."""
        return self.certificate.exists() and self.key.exists()


class Authority:
    """A certificate authority that signs for one instance, and lives as long as it."""

    def __init__(self, directory: Path, name: str) -> None:
        """Read the authority's files from `directory`, or make them.

        Raises:
            DamagedError: they are there and cannot be used.

        """
        self.directory = directory
        self.files = _pair(directory, name)
        if not self.files.exists:
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(name)
            certificate = (
                _builder(subject, subject, key.public_key(), _VALID)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(sign_certificates=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            _write(self.files, certificate, key)
        self._certificate, self._key = _read(self.files)

    def server(self, name: str, hosts: tuple[str, ...] = ()) -> KeyPair:
        """A certificate for a server on the loopback address, which may also be a client of its equals."""
        alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in ("localhost", *hosts)]
        alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        return self._issue(name, _name(name), _VALID, x509.SubjectAlternativeName(alternatives))

    def client(
        self,
        file_name: str,
        user: str,
        group: str = "",
        *,
        valid: datetime.timedelta = _VALID,
        directory: Path | None = None,
    ) -> KeyPair:
        """A certificate with which a client is `user`, member of `group`; in `directory`, if it is for a while."""
        return self._issue(file_name, _name(user, group), valid, None, directory)

    def _issue(
        self,
        file_name: str,
        subject: x509.Name,
        valid: datetime.timedelta,
        alternatives: x509.SubjectAlternativeName | None,
        directory: Path | None = None,
    ) -> KeyPair:
        files = _pair(directory or self.directory, file_name)
        if files.exists:
            self._check(files)
            return files
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if alternatives:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = (
            _builder(subject, self._certificate.subject, key.public_key(), valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(alternatives, critical=False)
        _write(files, builder.sign(self._key, hashes.SHA256()), key)
        return files

    def _check(self, files: KeyPair) -> None:
        certificate, _ = _read(files)
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            authority = self.files.certificate.name
            raise DamagedError(files.certificate, f"{authority} beside it did not sign it") from None


def signing_key(path: Path) -> Path:
    """A private key for the tokens of service accounts, made if it is not there.

    Raises:
        DamagedError: it is there and cannot be used.

    """
    if not path.exists():
        write_private(path, _pem(ec.generate_private_key(ec.SECP256R1())))
    _read_key(path)
    return path


def _read(files: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """What the files hold. Raises DamagedError if it does not belong together, or no longer counts."""
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    except OSError as error:
        raise DamagedError(files.certificate, f"it cannot be read: {error.strerror}") from None
    except ValueError:
        raise DamagedError(files.certificate, "it is not a certificate") from None
    key = _read_key(files.key)
    if certificate.public_key() != key.public_key():
        raise DamagedError(files.certificate, f"it does not belong to {files.key.name} beside it")
    if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise DamagedError(files.certificate, f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    return certificate, key


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise DamagedError(path, f"it cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DamagedError(path, "it is not one of this instance's keys")
    return key


def _pair(directory: Path, name: str) -> KeyPair:
    return KeyPair(directory / f"{name}.crt", directory / f"{name}.key")


def _name(user: str, group: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + valid)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(files: KeyPair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(files.key, _pem(key))
    write_private(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
