"""What the URL of a connection may be: the systems that feeds read, by the URL's scheme, and the rules of each. A new
kind of system is one entry in KINDS. No message holds a URL: it has a password in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

CONNECTION = "DATA_PLATFORM_CONNECTION_"
"""The beginning of a connection's variable; its name follows."""


@dataclass(frozen=True)
class Kind:
    """One kind of system. `schemes`: of its URLs. `tls`: the parameters that demand TLS, with the values that do; the
    last one of a name counts. `advice`: which of them to write. `parameters`: the only ones that it may have, so that
    none leads elsewhere; None: any. `embedded`: a file, which needs no network. `secure`: the schemes that are TLS by
    themselves."""

    schemes: tuple[str, ...]
    example: str
    tls: Mapping[str, tuple[str, ...]]
    advice: str
    parameters: frozenset[str] | None = None
    embedded: bool = False
    secure: tuple[str, ...] = ()

    def demands_tls(self, parts: SplitResult) -> bool:
        """Whether a connection by this URL is refused where the server has no TLS."""
        given = {name.lower(): values[-1].lower() for name, values in parse_qs(parts.query).items()}
        return (
            self.embedded
            or parts.scheme in self.secure
            or any(given.get(name) in values for name, values in self.tls.items())
        )


POSTGRES = Kind(
    ("postgresql", "postgres"),
    "postgresql://reader:...@db.example.org:5432/records?sslmode=verify-full",
    {"sslmode": ("require", "verify-ca", "verify-full")},
    "sslmode=verify-full (or at least require)",
)
MYSQL = Kind(
    ("mysql", "mariadb"),
    "mariadb://reader:...@db.example.org:3306/records?ssl-mode=VERIFY_IDENTITY",
    {"ssl-mode": ("required", "verify_ca", "verify_identity")},
    "ssl-mode=VERIFY_IDENTITY (or at least REQUIRED)",
    frozenset(("ssl-mode", "ssl-ca")),
)
ORACLE = Kind(
    ("oracle",),
    "oracle://reader:...@db.example.org:2484/records?protocol=tcps",
    {"protocol": ("tcps",)},
    "protocol=tcps",
    frozenset(("protocol", "wallet_location", "ssl_server_cert_dn")),
)
SQLITE = Kind(("sqlite",), "sqlite:////srv/records.db", {}, "", frozenset(), embedded=True)
SQLALCHEMY = Kind(
    (),
    "mssql+pyodbc://reader:...@db.example.org:1433/records?Encrypt=yes",
    {
        "sslmode": POSTGRES.tls["sslmode"],
        "encrypt": ("yes", "true", "mandatory", "strict"),
        "protocol": ("tcps",),
        "security": ("ssl",),
        "ssl_verify_identity": ("true",),
    },
    "the driver's parameter for it, one of sslmode=verify-full, Encrypt=yes, protocol=tcps, security=SSL,"
    " ssl_verify_identity=true",
)
"""Any other database: SQLAlchemy's dialect and driver, joined by a plus sign."""
WEB = Kind(
    ("https", "http"),
    "https://user:secret@api.example.org",
    {},
    "https://",
    frozenset(),
    secure=("https",),
)
"""A web API, its key as the password."""
KINDS = (POSTGRES, MYSQL, ORACLE, SQLITE, WEB)


@dataclass(frozen=True)
class System:
    """A system that a feed reads: of which kind its URL may be, what is expected in words, and an example."""

    kinds: tuple[Kind, ...]
    expected: str
    example: str


DATABASE = System((POSTGRES, MYSQL, ORACLE, SQLITE, SQLALCHEMY), "the URL of a database", POSTGRES.example)
WEB_API = System((WEB,), "the service's URL with its key as the password", WEB.example)
AIRTABLE = System(
    (WEB,), "Airtable's URL with a personal access token as its password", "https://:pat...@api.airtable.com"
)
KNACK = System(
    (WEB,),
    "Knack's URL with the application's id as its user and the API key as its password",
    "https://APPLICATION_ID:...@api.knack.com",
)
CARTO = System(
    (WEB,),
    "CARTO's URL with the account's name as its user and a master API key as its password",
    "https://ACCOUNT:...@ACCOUNT.carto.com",
)

ADDRESS_SEARCH = System(
    (WEB,), "the address search's URL with its gatekeeper key as the password", "https://:key...@api.phila.gov/ais/v1"
)
CENSUS = System((WEB,), "the Census geocoder's URL", "https://geocoding.geo.census.gov/geocoder")


def kind_of(parts: SplitResult) -> Kind | None:
    """The kind of system that a URL leads to."""
    if "+" in parts.scheme:
        return SQLALCHEMY
    return next((kind for kind in KINDS if parts.scheme in kind.schemes), None)


def split(url: str) -> SplitResult | None:
    """The URL's parts; None where it has none."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def problem(url: str, environment: str) -> str | None:
    """What is wrong with a connection's URL, and what is expected. That `local` reaches loopback only is the same rule
    for all endpoints, and not here."""
    parts = split(url)
    kind = kind_of(parts) if parts else None
    if parts is None or kind is None:
        return f"is wrong: expected one of {', '.join(_named())}"
    # Of a driver that isn't known, any parameter may name another server.
    allowed = frozenset[str]() if kind is SQLALCHEMY and environment == "local" else kind.parameters
    if allowed is not None and not allowed >= {name.lower() for name in parse_qs(parts.query, keep_blank_values=True)}:
        expected = f"only {', '.join(sorted(allowed))}" if allowed else "none"
        return f"has other parameters in its URL than it may have; expected {expected}, for example {kind.example}"
    if environment != "local" and not kind.demands_tls(parts):
        return f"allows a connection without TLS; expected {kind.advice} in the URL, for example {kind.example}"
    return None


def unusable(name: str, url: str | None, reader: str, system: System, environment: str) -> str | None:
    """Why `reader` can't use the connection of this name and URL (None: it isn't set), and what to do; None if it
    can. A driver might quote a URL that it doesn't understand."""
    expected = f"expected {system.expected}, for example {variable_of(name)}={system.example}"
    if url is None:
        up = ". If the local cloud has this system, run `data-platform up`" if environment == "local" else ""
        return f"{variable_of(name)} is missing, and {reader} needs it: {expected}{up}"
    parts = split(url)
    if parts is None or kind_of(parts) not in system.kinds:
        return f"{variable_of(name)} is of another kind of system than {reader} reads: {expected}"
    return None


def variable_of(name: str) -> str:
    """The variable of a connection."""
    return f"{CONNECTION}{name.upper()}"


def _named() -> Iterator[str]:
    return (kind.example for kind in (*KINDS, SQLALCHEMY))
