"""``join.yaml``: everything a further node needs to join, written by a control plane (0600), with when each part ends.

Schema 2 carries the cluster's whole configuration under ``cluster``; schema 1 did not, so it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from installer.agreement import shared_document
from installer.bundle.strict import Fields, Problems
from installer.config import ClusterConfig
from installer.endpoint import endpoint_of
from installer.errors import InputError
from installer.settings import Endpoint
from installer.yamltext import dump_yaml, load_yaml

SCHEMA = 2
PATH = "/var/lib/airgap-bundle/join.yaml"
"""Where the first node leaves it."""
RENEW = "on any control-plane node:  sudo airgap-bundle join-file > join.yaml"
_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
_CA_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"v1\.[0-9]+\.[0-9]+")


@dataclass(frozen=True)
class JoinFile:
    """The cluster, bootstrap token, CA hashes and, for further control planes, the certificate key; times are Unix.

    ``cluster`` is settled: nothing in it is left for a joining node to decide. ``mtu_bytes`` is that of the interface
    of the node which wrote the file, 0 where it is not known.
    """

    kubernetes: str
    cluster: ClusterConfig
    token: str
    token_expires_seconds: int
    ca_cert_hashes: tuple[str, ...]
    certificate_key: str | None = None
    certificate_key_expires_seconds: int | None = None
    mtu_bytes: int = 0

    @classmethod
    def from_text(cls, text: str, *, where: str) -> JoinFile:
        """The join file in ``text``; :class:`InputError` names every problem."""
        document = load_yaml(text, where=where)
        problems = Problems()
        fields = Fields(document, problems)
        schema = fields.integer("schema")
        if not problems and schema != SCHEMA:
            raise InputError(
                f"the join file was made by {'a newer' if schema > SCHEMA else 'an older'} version of this tool",
                where=where,
                wanted=f"schema: {SCHEMA}",
                got=f"schema: {schema}",
                next_step="use the media set the cluster runs on" if schema > SCHEMA else RENEW,
            )
        join = cls._read(fields)
        problems.check("the join file cannot be used", InputError, where=where, next_step=RENEW)
        return join

    @classmethod
    def _read(cls, fields: Fields) -> JoinFile:
        hashes = tuple(fields.texts("caCertHashes"))
        if not hashes or not all(_CA_HASH.fullmatch(text) for text in hashes):
            fields.note("caCertHashes", "wanted one or more of sha256: and 64 hex digits")
        cluster = fields.mapping("cluster")
        join = cls(
            _shaped(fields, "kubernetes", _VERSION, "a version such as v1.30.14"),
            ClusterConfig.read(cluster),
            _shaped(fields, "token", _TOKEN, "a bootstrap token (abcdef.0123456789abcdef)"),
            fields.parsed("tokenExpires", parse_time, 0),
            hashes,
            _shaped(fields, "certificateKey", _KEY, "64 hex digits", optional=True),
            fields.parsed("certificateKeyExpires", parse_time, None),
            fields.integer("mtu", 0, most=2**16),
        )
        if "tokenExpires" not in fields:
            fields.note("tokenExpires", "missing, wanted a time such as 2026-11-22T06:13:00Z")
        if (join.certificate_key is None) != (join.certificate_key_expires_seconds is None):
            fields.note("certificateKeyExpires", "belongs to certificateKey: both or neither")
        if join.cluster.endpoint.mode is None:
            cluster.note("endpoint.mode", "missing")
        elif join.cluster.endpoint.mode == "direct" and join.cluster.endpoint.address is None:
            cluster.note("endpoint.address", "missing, wanted the first control plane's")
        fields.finish()
        return join

    def to_text(self) -> str:
        """The file as :meth:`from_text` reads it."""
        data: dict[str, Any] = {
            "schema": SCHEMA,
            "kubernetes": self.kubernetes,
            "token": self.token,
            "tokenExpires": format_time(self.token_expires_seconds),
            "caCertHashes": list(self.ca_cert_hashes),
        }
        if self.certificate_key is not None and self.certificate_key_expires_seconds is not None:
            data["certificateKey"] = self.certificate_key
            data["certificateKeyExpires"] = format_time(self.certificate_key_expires_seconds)
        if self.mtu_bytes:
            data["mtu"] = self.mtu_bytes
        data["cluster"] = shared_document(self.cluster)
        return dump_yaml(data)

    @property
    def endpoint(self) -> Endpoint:
        """Where every node reaches the API."""
        return endpoint_of(self.cluster.endpoint)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show in messages and journals."""
        return (self.token,) if self.certificate_key is None else (self.token, self.certificate_key)

    def demand_usable(self, role: str, *, now_seconds: float, where: str) -> None:
        """Raises :class:`InputError` when a part this role needs has ended or is not there."""
        _demand_not_ended("token", "a token", self.token_expires_seconds, now_seconds, where)
        if role != "cp":
            return
        if self.certificate_key_expires_seconds is None:
            raise InputError(
                "the join file is for workers only",
                where=f"{where}, certificateKey",
                wanted="a certificate key, which a further control plane needs",
                got="none",
                next_step=RENEW,
            )
        ends = self.certificate_key_expires_seconds
        _demand_not_ended("certificateKey", "a certificate key", ends, now_seconds, where)


def parse_time(text: str) -> int:
    """Unix time of an RFC 3339 time in UTC (``2026-11-22T06:13:00Z``)."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise InputError("not a time", wanted="a time such as 2026-11-22T06:13:00Z", got=text[:100]) from None


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def spoken_time(seconds: float) -> str:
    """A time as the operator reads it: ``2026-11-22 06:13 UTC``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M UTC")


def _shaped(fields: Fields, key: str, shape: re.Pattern[str], wanted: str, *, optional: bool = False) -> Any:
    """A string of a given shape; its value is never repeated in a message, as it may be secret."""
    text = fields.text(key, None) if optional else fields.text(key)
    if text and not shape.fullmatch(text):
        fields.note(key, f"wanted {wanted}")
    return text


def _demand_not_ended(field: str, what: str, ends_seconds: int, now_seconds: float, where: str) -> None:
    if now_seconds < ends_seconds:
        return
    raise InputError(
        "the join file has expired",
        where=f"{where}, {field}",
        wanted=f"{what} valid now ({spoken_time(now_seconds)})",
        got=f"one that ended {spoken_time(ends_seconds)}",
        next_step=RENEW,
    )
