"""What a run tells while it goes on: its events, the board that they add up to, the file that keeps them, loggers."""
