"""Sensors for DynamoDB backups."""
