"""Datasets, training, evaluation, promotion and learning: from features to a version that may trade."""
