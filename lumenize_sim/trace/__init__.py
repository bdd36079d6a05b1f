"""What happened in one run: records, causal links, digest, files."""
