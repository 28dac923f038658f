"""Tests of the restoring story."""
