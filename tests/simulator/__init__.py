"""The simulated control plane of DynamoDB backups."""
