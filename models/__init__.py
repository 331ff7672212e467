"""What we believe: arrays in, quantile forecasts out. Knows no store and no MLflow."""
