"""Reports about a store: audit, comparison of stages, HTML board, and wording for people."""
