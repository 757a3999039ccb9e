"""The certificate that a server shows: files that were named, or one made for this machine and kept. Blocking."""

import importlib.util
import socket
from pathlib import Path
from urllib.parse import urlsplit

from liveglass.engine.errors import NotAvailable
from liveglass.web.files import read_if_there, write_private
from liveglass.web.settings import Settings

_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised here, bound nowhere


def certificate_files(settings: Settings) -> tuple[Path, Path] | None:
    """Certificate and key (PEM), or None without TLS.

    Raises:
        NotAvailable: a certificate is to be made, and the library that can is not there.
    """
    if settings.tls_cert:
        return Path(settings.tls_cert), Path(settings.tls_key)
    if settings.tls != "self-signed":
        return None
    if importlib.util.find_spec("cryptography") is None:
        raise NotAvailable(
            "--tls self-signed needs the package cryptography.",
            hint="pip install cryptography, or give --tls-cert and --tls-key (mkcert makes both).",
            field="tls",
        )
    from liveglass.web import certificates  # noqa: PLC0415 - needs cryptography

    folder = Path(settings.state_dir) / "tls"
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = _names(settings)
    if not key.exists() or not certificates.is_good_for(read_if_there(certificate) or b"", names):
        made_key, made_certificate = certificates.self_signed(names)
        write_private(key, made_key)
        write_private(certificate, made_certificate)
    return certificate, key


def _names(settings: Settings) -> list[str]:
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), settings.host.strip("[]")]
    public = urlsplit(settings.public_url).hostname
    return sorted({name for name in (*names, public) if name and name not in _WILDCARDS})
