"""A first `fapbuild.toml` for a project, and what a project still has to fix."""
