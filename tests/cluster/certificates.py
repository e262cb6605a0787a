"""An authority of the tests' own, and the certificates that it signs, made with the openssl program."""

import subprocess
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._req("ca", "-subj", f"/CN={folder.name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    @property
    def certificate(self) -> str:
        """What clients verify servers with, as PEM."""
        return (self._folder / "ca.crt").read_text()

    def sign(self, name: str, *places: str) -> tuple[str, str]:
        """Return key and certificate, as PEM, of a server called by `places` (`IP:10.0.0.1`, `DNS:db.example.com`)."""
        signer = ("-CA", str(self._folder / "ca.crt"), "-CAkey", str(self._folder / "ca.key"))
        constraints = ("-addext", f"subjectAltName={','.join(places)}", "-addext", "basicConstraints=critical,CA:FALSE")
        self._req(name, "-subj", f"/CN={name}", *constraints, *signer)
        return (self._folder / f"{name}.key").read_text(), (self._folder / f"{name}.crt").read_text()

    def _req(self, name: str, *words: str) -> None:
        out = ("-keyout", str(self._folder / f"{name}.key"), "-out", str(self._folder / f"{name}.crt"))
        subprocess.run(["openssl", "req", "-x509", *CURVE, *words, *out], check=True, capture_output=True)
