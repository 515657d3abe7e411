"""Every pinned package as a wheel: downloaded, built, or taken from a shared store."""
