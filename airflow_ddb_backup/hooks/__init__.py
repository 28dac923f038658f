"""Hooks for DynamoDB backups."""
