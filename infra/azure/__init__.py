"""What deploy.sh, setup.sh and destroy.sh share: shell libraries, and what JSON asks of Python."""
