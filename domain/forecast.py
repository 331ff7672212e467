"""Forecast: quantiles of the log return from the next open to the open `horizon` bars after it, at levels all models share."""

#: The quantile levels that every model forecasts, in this order.
LEVELS: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
MEDIAN = LEVELS.index(0.5)
