"""Side-by-side measurements: each peer and the floor in one run, interleaved."""
