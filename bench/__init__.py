"""The benchmark: `python -m bench`. How to run and to read it: docs/guide/benchmarks.md."""
