"""Tests mirror `src/imagegate`; `upstream/` is the fake upstream that they run against."""
