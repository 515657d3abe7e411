"""Looking into artifacts: a summary, one file, the difference of two, a check of every byte."""
