"""Signatures: who may sign, who signed what."""
