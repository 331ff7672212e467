"""Step kernels by family: `kernel(inputs..., parameters..., state, out, first, last)`.

A kernel advances the columns `first:last` over all rows of time-major `float64 [T, S]` arrays. What it must remember between
two calls lies in `state`, a `float64 [slots, S]` array that starts as zeros, so that one call over N rows and N calls over one
row are the same machine code and give the same bits. A NaN bar leaves a column's state untouched and yields NaN.
"""
