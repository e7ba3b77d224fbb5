"""What runs inside the MLflow server: who acts, and what they may do."""
