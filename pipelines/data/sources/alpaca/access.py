"""Access: the keys and addresses that Alpaca is asked with; both are environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from domain.error import ConfigurationError

#: Where keys are looked for, in this order: our own names first, then those that Alpaca's clients have always read.
KEYS = ("ALPACA_API_KEY", "APCA_API_KEY_ID")
SECRETS = ("ALPACA_SECRET_KEY", "APCA_API_SECRET_KEY")
DATA_URL, STREAM_URL = "ALPACA_DATA_URL", "ALPACA_STREAM_URL"
STREAM = "wss://stream.data.alpaca.markets"


@dataclass(frozen=True)
class Access:
    """What opens Alpaca's door. Its repr holds no secret."""

    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    data_url: str | None = None
    """Where questions go; None for Alpaca's own."""
    stream_url: str = STREAM
    """Where streams are opened, without the path of the feed."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the access that the environment grants; an empty variable is none.

        ALPACA_API_KEY and ALPACA_SECRET_KEY, or APCA_API_KEY_ID and APCA_API_SECRET_KEY, are the key's two parts. ALPACA_DATA_URL
        and ALPACA_STREAM_URL lead elsewhere than to Alpaca.
        """
        given = os.environ if environment is None else environment
        key, secret = (next((given[name] for name in names if given.get(name)), None) for names in (KEYS, SECRETS))
        return cls(key, secret, given.get(DATA_URL) or None, given.get(STREAM_URL) or STREAM)

    def keys(self, what: str) -> tuple[str, str]:
        """Return key and secret; raise ConfigurationError, naming what they were needed for, where one is missing."""
        if self.key is None or self.secret is None:
            absent = [names[0] for names, value in ((KEYS, self.key), (SECRETS, self.secret)) if value is None]
            raise ConfigurationError(
                f"Alpaca was to be asked for {what}, which needs a key, and {' and '.join(absent)} is not set: "
                "make a key on alpaca.markets and put both of its parts into the environment"
            )
        return self.key, self.secret
