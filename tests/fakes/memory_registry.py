"""A registry in memory, strict as the real one: a manifest's blobs and children must be there, digests must hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from installer.bundle.digest import Digest
from installer.bundle.distribution import Answer

_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>blobs/uploads|blobs|manifests)/(?P<rest>[^/]*)")


@dataclass
class MemoryRegistry:
    """An :class:`~installer.bundle.distribution.Exchange`; ``asked`` has the methods in order."""

    wants_children: bool = True
    base: str = "https://registry.plant.example"
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    received_bytes: int = 0

    def wait(self, seconds: float) -> None:
        """No time passes."""

    def ask(self, repository: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """The answer of a registry."""
        parts = urlsplit(url)
        match = _PATH.fullmatch(parts.path)
        assert url.startswith(self.base), url
        assert match is not None, url
        assert match["name"] == repository, url
        self.asked.append(method)
        self.received_bytes += len(body or b"")
        if match["kind"] == "blobs/uploads":
            start = headers.get("Content-Range", "").partition("-")[0]
            if method != "POST" and match["rest"] not in self.uploads:
                return _error(404, "BLOB_UPLOAD_UNKNOWN")
            if method == "PATCH" and int(start) != len(self.uploads[match["rest"]]):
                return _error(416, "RANGE_INVALID")
            name = match["rest"] or str(len(self.asked))
            self.uploads[name] = self.uploads.get(name, b"") + (body or b"")
            if method == "PUT":
                return self._end(repository, name, parse_qs(parts.query)["digest"][0])
            last = max(0, len(self.uploads[name]) - 1)
            location = f"/v2/{repository}/blobs/uploads/{name}"
            return Answer(204 if method == "GET" else 202, {"location": location, "range": f"0-{last}"})
        if match["kind"] == "blobs":
            assert method == "HEAD", method
            found = self.blobs.get((repository, match["rest"]))
            return Answer(404) if found is None else Answer(200, {"content-length": str(len(found))})
        return self._manifest(repository, method, match["rest"], headers, body or b"")

    def _end(self, repository: str, name: str, digest: str) -> Answer:
        data = self.uploads.pop(name)
        if Digest.of(data) != digest:
            return _error(400, "DIGEST_INVALID")
        self.blobs[repository, digest] = data
        return Answer(201)

    def _manifest(self, repository: str, method: str, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if method == "GET":
            found = self.manifests.get((repository, name))
            if found is None:
                return _error(404, "MANIFEST_UNKNOWN")
            digest = str(Digest.of(found))
            return Answer(200, {"content-type": json.loads(found)["mediaType"], "docker-content-digest": digest}, found)
        assert method == "PUT", method
        document, digest = json.loads(body), str(Digest.of(body))
        assert headers["Content-Type"] == document["mediaType"]
        assert not name.startswith("sha256:") or name == digest
        needed = [item["digest"] for item in (*document.get("layers", ()), *filter(None, [document.get("config")]))]
        if any((repository, blob) not in self.blobs for blob in needed):
            return _error(400, "MANIFEST_BLOB_UNKNOWN")
        children = [item["digest"] for item in document.get("manifests", ())]
        if self.wants_children and any((repository, child) not in self.manifests for child in children):
            return _error(404, "MANIFEST_BLOB_UNKNOWN")
        self.manifests[repository, name] = self.manifests[repository, digest] = body
        return Answer(201, {"docker-content-digest": digest})


def _error(status: int, code: str) -> Answer:
    return Answer(status, {}, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())
