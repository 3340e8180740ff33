"""HTTPS servers with certificates that nobody trusts."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest


def self_signed(folder: Path, name: str) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not here")
    path = folder / "both.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    options += [
        "-addext",
        f"subjectAltName=DNS:{name}",
        "-keyout",
        str(folder / "key"),
        "-out",
        str(folder / "cert"),
    ]
    subprocess.run(["openssl", "req", *options], check=True, capture_output=True)
    path.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return path


def listening_with(certificate: Path, plain: socket.socket, names: list[str]) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda connection, name, _: names.append(name or "")
    return context.wrap_socket(plain, server_side=True)
