"""The vocabulary: frozen types and pure rules that every other room speaks. Imports nothing of ours."""
