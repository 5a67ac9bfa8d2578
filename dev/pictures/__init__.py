"""The demonstration and the pictures of the documentation."""
