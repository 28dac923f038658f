"""Tests of the operators, a file for each module."""
