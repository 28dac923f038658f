"""Links for DynamoDB backups."""
