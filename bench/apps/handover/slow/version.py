"""Which version this is, and how it behaves; the benchmark writes another one for each commit."""

VERSION = "good"
