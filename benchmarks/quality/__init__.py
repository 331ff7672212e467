"""What quality catches, and what it flags besides."""
