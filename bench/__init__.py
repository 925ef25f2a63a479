"""Measurements, as ratios side by side in one run. `make bench` runs all and writes docs/benchmarks.md."""
