"""The builder: a commit becomes one immutable artifact. It knows no host."""
