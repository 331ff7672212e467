"""The model pipeline: datasets, training, evaluation, promotion, drift and learning."""
