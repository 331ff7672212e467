"""Where bars come from. Every source keeps the promise of `contract.Source`."""
