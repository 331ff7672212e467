"""Your own features: what is listed in FEATURES is part of the catalogue, in the family `own`, and of all tests of the engine.

With a kernel of your own (`features/kernels/__init__.py` says how one is written; a plain Python function with the same arguments
works too, slowly), or with a polars expression over a symbol's last bars:

    from features import indicators as plain
    from features.expression import expression
    from features.feature import Feature

    FEATURES = (
        Feature("doubled", my_kernels.doubled, (plain.sma("close", 5), "close"), meaning="what it says"),
        expression("up_days", (pl.col("close") > pl.col("open")).mean(), bars=10, meaning="share of rising bars"),
    )

Add `own` to `features.families` in params.yaml, and models are trained on them. They cannot look ahead: a step is handed nothing
but the bars so far, and `pytest tests/features` holds every one of them to the same bits however history is cut.
"""

from features.feature import Feature

FEATURES: tuple[Feature, ...] = ()
