"""What users say of answers: how it becomes training data of the member that serves, and of nobody else."""
