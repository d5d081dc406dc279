"""What a checkpoint is used for: evaluated, fine-tuned, compared, or asked for embeddings."""
