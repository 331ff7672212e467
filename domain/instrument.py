"""Instrument: how a symbol may be traded."""

from pydantic import BaseModel, ConfigDict, Field


class Instrument(BaseModel):
    """Trading rules shared by the symbols of a market."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lot: float = Field(default=1.0, gt=0)
    """Quantities are multiples of this."""
    shortable: bool = True
