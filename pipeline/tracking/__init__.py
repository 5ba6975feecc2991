"""Tracking of runs in MLflow. One process per run writes, following the run's journal."""
