"""What local programs ask, and how they are answered: values and text, no socket."""
