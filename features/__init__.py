"""What we measure: arrays in, arrays out. Kernels, the catalogue that lists them, the engine that runs them, and labels."""
