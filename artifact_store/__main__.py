"""`python -m artifact_store` is `fapstore`."""

from artifact_store.cli import main

if __name__ == "__main__":
    main()
