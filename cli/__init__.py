"""The operator's command line: one noun one file; every verb prints the pulumi or kubectl command that it runs."""
