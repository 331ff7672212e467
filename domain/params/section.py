"""Section: a group of parameters that refuses what it does not know."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen group of parameters that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
