"""Tests of the whole project; folders in `release`, `build` and `store` are named after those they test."""
