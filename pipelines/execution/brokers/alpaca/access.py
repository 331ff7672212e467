"""Access: the keys and addresses of an account at Alpaca, and what live trading asks for beyond them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from domain.error import ConfigurationError

#: Where keys are looked for, in this order; live keys have names of their own, so that a paper run can never find them.
PAPER = (("ALPACA_API_KEY", "APCA_API_KEY_ID"), ("ALPACA_SECRET_KEY", "APCA_API_SECRET_KEY"))
LIVE = (("ALPACA_LIVE_API_KEY",), ("ALPACA_LIVE_SECRET_KEY",))
URL = "ALPACA_TRADING_URL"
HOSTS = {"paper-api.alpaca.markets": False, "api.alpaca.markets": True}
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PAPER_PREFIX = "PK"


@dataclass(frozen=True)
class Access:
    """What opens an account. Its repr holds no secret."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    live: bool
    url: str | None = None
    """Where requests go; None for Alpaca's own."""

    @classmethod
    def paper(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the access to a paper account that the environment grants; raise ConfigurationError."""
        return cls._read(environment, PAPER, live=False)

    @classmethod
    def with_money(cls, account: str, typed: str, environment: Mapping[str, str] | None = None) -> Self:
        """Return the access to a live account, once its number was typed by hand; raise ConfigurationError."""
        if not account or typed != account:
            raise ConfigurationError(
                f"live trading on account '{account}' was asked for and '{typed}' was typed: type the account's number to go on"
            )
        return cls._read(environment, LIVE, live=True)

    @classmethod
    def _read(cls, environment: Mapping[str, str] | None, names: tuple[tuple[str, ...], ...], *, live: bool) -> Self:
        given = os.environ if environment is None else environment
        key, secret = (next((given[name] for name in each if given.get(name)), "") for each in names)
        missing = [each[0] for each, value in zip(names, (key, secret), strict=True) if not value]
        if missing:
            raise ConfigurationError(
                f"trading at Alpaca needs a key, and {' and '.join(missing)} is not set: put both of its parts into the environment"
            )
        found = cls(key, secret, live, given.get(URL) or None)
        found._check()
        return found

    @property
    def stream(self) -> str | None:
        """Where the order stream is opened; None for Alpaca's own."""
        return None if self.url is None else self.url.replace("http", "ws", 1).rstrip("/") + "/stream"

    def _check(self) -> None:
        """Raise ConfigurationError where key, mode and address do not belong together."""
        kind = "live" if self.live else "paper"
        if self.key.startswith(PAPER_PREFIX) == self.live:
            raise ConfigurationError(
                f"a {kind} account was asked for, and the key is of the other kind: use the {kind} account's key"
            )
        if self.url is None:
            return
        address = urlsplit(self.url)
        host = address.hostname or ""
        if HOSTS.get(host, self.live) != self.live:
            raise ConfigurationError(
                f"a {kind} account was asked for, and {URL} leads to {host}: leave it out, or name the right one"
            )
        if address.scheme != "https" and host not in LOOPBACK:
            raise ConfigurationError(f"{URL} leads to {host} without encryption: only this machine itself may be reached by http")
