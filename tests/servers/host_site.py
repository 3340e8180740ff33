"""A site of another team, with a strict Content-Security-Policy, whose pages use ours."""

from pathlib import Path

from tests.servers.local import Handler, LocalServer

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript"}


class HostSite(LocalServer):
    """Serves `pages`, by path, with a policy that allows it nothing but its own scripts and `ours`."""

    def __init__(self, ours: str) -> None:
        super().__init__(HostHandler)
        self.pages: dict[str, bytes] = {}
        self.policy = (
            f"default-src 'none'; script-src 'self' {ours}; connect-src {ours}; frame-src {ours}; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    @property
    def same_site(self) -> str:
        """Its origin on the site `localhost`, where the live server is. `url` is an origin of another site."""
        return f"http://localhost:{self.server_port}"

    def add_folder(self, folder: Path) -> None:
        for path in folder.rglob("*.*"):
            self.pages[f"/{path.relative_to(folder)}"] = path.read_bytes()


class HostHandler(Handler):
    server: HostSite

    def do_GET(self) -> None:
        self.read_request()
        path = f"{self.path}index.html" if self.path.endswith("/") else self.path
        body = self.server.pages.get(path)
        kind = TYPES.get(Path(path).suffix, "text/plain")
        headers = {"content-type": kind, "content-security-policy": self.server.policy}
        self.answer(404 if body is None else 200, body or b"", headers)
