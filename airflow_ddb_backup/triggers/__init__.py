"""Triggers for DynamoDB backups."""
