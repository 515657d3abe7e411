"""An app that starts as slowly as real ones do: 2 s of import, and 20 to 60 ms for each request."""
