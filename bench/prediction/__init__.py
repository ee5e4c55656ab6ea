"""What `bench predict` does with samples of one's own: reading, scores, certainty, results."""
