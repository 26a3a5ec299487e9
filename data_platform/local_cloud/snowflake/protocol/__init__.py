"""What Snowflake's clients speak: HTTP, sign-in, requests that outlast a wait, results on the wire. Runs no SQL itself:
that is `engine`'s."""
