"""Waiting: from CREATING to AVAILABLE."""
