"""Operators for DynamoDB backups."""
