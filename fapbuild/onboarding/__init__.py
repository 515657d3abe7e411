"""The first settings of a project (`init`), and what is still to fix in it (`check`)."""
