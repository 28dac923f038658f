"""Tests of the retention story."""
