"""An hour of real Airflow under faults, kills and restarts; at its end the books."""
