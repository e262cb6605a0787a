"""Side-by-side measurements: each command prints one line per figure with its limit beside it, and judges nothing."""
