"""Reads finished artifacts: a summary, single files, the changes between two, a check of every byte."""
