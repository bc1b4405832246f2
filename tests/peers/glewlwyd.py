"""Debian's glewlwyd as an identity provider on this machine. Prints its issuer as its first line and serves until it is
ended.

usage: glewlwyd.py ROOT, where Debian's packages were unpacked. KEY_PEM and CERT_PEM in the environment are the issuer's
key. There are the user alice (alice-password), the clients robot (robot-secret) and gate (gate-secret), the scope tools,
and the resource https://gate.example.test/mcp.
"""

import ctypes
import glob
import gzip
import http.cookiejar
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

RESOURCE = "https://gate.example.test/mcp"


def with_me():
    """The server ends when this script does, however that ends (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def start(root, folder, port):
    share = os.path.join(root, "usr/share/doc/glewlwyd/database/init.sqlite3.sql")
    packed = gzip.open(share + ".gz", "rt") if os.path.exists(share + ".gz") else open(share)
    database = sqlite3.connect(os.path.join(folder, "glewlwyd.db"))
    with packed as script:
        database.executescript(script.read())
    database.close()
    modules = os.path.join(root, "usr/lib/glewlwyd")
    nothing = os.path.join(folder, "nothing")
    os.mkdir(nothing)
    config = os.path.join(folder, "glewlwyd.conf")
    with open(config, "w") as file:
        file.write(
            f"""
port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}"
login_url="login.html"
api_prefix="api"
static_files_path="{nothing}/"
log_mode="console"
log_level="WARNING"
cookie_domain="127.0.0.1"
cookie_secure=0
session_expiration=3600
session_key="SESSION"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
user_middleware_module_path="{nothing}"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
use_secure_connection=0
hash_algorithm="SHA512"
database = {{ type = "sqlite3"; path = "{folder}/glewlwyd.db"; }};
"""
        )
    libraries = ":".join(glob.glob(os.path.join(root, "usr/lib/*-linux-*")) + [os.path.join(root, "usr/lib")])
    return subprocess.Popen(
        [os.path.join(root, "usr/bin/glewlwyd"), "-c", config],
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=with_me,
    )


class Administrator:
    def __init__(self, base):
        self.base = base
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def post(self, path, body):
        request = urllib.request.Request(
            self.base + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        try:
            self.opener.open(request, timeout=30).close()
        except urllib.error.HTTPError as error:
            sys.exit(f"{path}: {error.code} {error.read().decode()}")


def set_up(port):
    administrator = Administrator(f"http://127.0.0.1:{port}/api")
    administrator.post("/auth/", {"username": "admin", "password": "password"})
    administrator.post(
        "/scope/", {"name": "tools", "display_name": "tools", "description": "tools", "password_required": False}
    )
    issuer = f"http://127.0.0.1:{port}/api/oidc"
    administrator.post(
        "/mod/plugin/",
        {
            "module": "oidc",
            "name": "oidc",
            "display_name": "oidc",
            "enabled": True,
            "parameters": {
                "iss": issuer,
                "jwt-type": "ecdsa",
                "jwt-key-size": "256",
                "key": os.environ["KEY_PEM"],
                "cert": os.environ["CERT_PEM"],
                "access-token-duration": 3600,
                "refresh-token-duration": 3600,
                "code-duration": 600,
                "refresh-token-rolling": False,
                "allow-non-oidc": True,
                "auth-type-code-enabled": True,
                "auth-type-password-enabled": True,
                "auth-type-client-enabled": True,
                "auth-type-refresh-enabled": True,
                "jwks-show": True,
                "subject-type": "public",
                "allowed-scope": ["openid", "tools"],
                "address-claim": {"type": "no"},
                "pkce-allowed": True,
                "introspection-revocation-allowed": True,
                "introspection-revocation-allow-target-client": True,
                "oauth-dpop-allowed": True,
                "oauth-dpop-iat-duration": 300,
                "resource-allowed": True,
                "resource-scope": {"tools": [RESOURCE]},
                "resource-client-property": "",
                "resource-scope-and-client-property": False,
                "resource-change-allowed": False,
            },
        },
    )
    administrator.post(
        "/user/?source=database",
        {
            "username": "alice",
            "name": "Alice",
            "email": "alice@example.test",
            "password": "alice-password",
            "scope": ["openid", "tools", "g_profile"],
            "enabled": True,
        },
    )
    for client in ["robot", "gate"]:
        administrator.post(
            "/client/?source=database",
            {
                "client_id": client,
                "name": client,
                "confidential": True,
                "client_secret": f"{client}-secret",
                "scope": ["tools"],
                "authorization_type": ["client_credentials", "password"],
                "token_endpoint_auth_method": ["client_secret_basic"],
                "enabled": True,
            },
        )
    return issuer


def main():
    root = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder, socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
        chosen.close()
        server = start(root, folder, port)
        until = time.monotonic() + 30
        while True:
            if server.poll() is not None:
                sys.exit(f"glewlwyd ended with {server.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > until:
                    sys.exit("glewlwyd does not listen")
                time.sleep(0.05)
        print(set_up(port), flush=True)
        server.wait()


main()
