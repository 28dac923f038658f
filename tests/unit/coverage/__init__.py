"""Tests of the report on which tables have a fresh backup, and of its page."""
