"""What `bench predict` does with samples of one's own: reading, scoring, certainty and the result."""
