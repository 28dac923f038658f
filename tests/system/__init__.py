"""Real Airflow: its command line, its processes."""
