"""What reads the infrastructure's templates: a security scan that needs an environment of its own."""
