"""Learning at one member: a model from a base, a method and a task; steps on it; and the folder that is released."""
