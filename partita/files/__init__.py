"""Files in, or an error that names them; files out, whole or as they were."""
