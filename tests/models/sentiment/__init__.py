"""Tests of readers of headlines."""
