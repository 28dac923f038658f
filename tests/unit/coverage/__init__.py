"""The coverage story: what makes a table fresh, the check, and its page."""
