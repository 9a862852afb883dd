"""Revisions, oldest first: each says what it changes, and is never edited after its release."""
