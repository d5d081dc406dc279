"""What a run tells: metrics, progress, monitors of collapse, a stop where metrics are NaN."""
